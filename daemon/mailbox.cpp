#include "daemon/mailbox.hpp"

#include <cassert>
#include <utility>

namespace ratchet {

namespace {

std::size_t at(int level) {
  assert(level >= 1 && level <= kTopLevel);
  return static_cast<std::size_t>(level);
}

}  // namespace

void Mailbox::report(const Fault& fault) noexcept {
  {
    std::lock_guard lock(mutex_);
    auto& slot = mail_.faults[at(fault.level)];
    if (slot && fault.incarnation < slot->first.incarnation) return;
    if (slot && fault.incarnation == slot->first.incarnation) {
      ++slot->count;
      return;
    }
    slot = FaultSlot{fault, 1};
    if (slot->first.text.size() > kFaultText) slot->first.text.resize(kFaultText);
    fresh_ = true;
  }
  posted_.notify_one();
}

void Mailbox::complete(int level, Completion completion) {
  {
    std::lock_guard lock(mutex_);
    auto& slot = mail_.completions[at(level)];
    assert(!slot);
    slot = std::move(completion);
    fresh_ = true;
  }
  posted_.notify_one();
}

void Mailbox::stop() noexcept {
  {
    std::lock_guard lock(mutex_);
    ++mail_.stops;
    fresh_ = true;
  }
  posted_.notify_one();
}

void Mailbox::hangup() noexcept {
  {
    std::lock_guard lock(mutex_);
    mail_.hangup = true;
    fresh_ = true;
  }
  posted_.notify_one();
}

std::optional<std::future<CommandReply>> Mailbox::ask(Command command) {
  std::future<CommandReply> reply;
  {
    std::lock_guard lock(mutex_);
    if (closed_ || mail_.commands.size() == kCommands) return std::nullopt;
    AskedCommand& asked = mail_.commands.emplace_back(AskedCommand{std::move(command), {}});
    reply = asked.reply.get_future();
    fresh_ = true;
  }
  posted_.notify_one();
  return reply;
}

Mailbox::Mail Mailbox::wait(Duration at_most) {
  std::unique_lock lock(mutex_);
  posted_.wait_for(lock, at_most, [this] { return fresh_; });
  fresh_ = false;
  return std::exchange(mail_, Mail{});
}

void Mailbox::nudge() noexcept {
  {
    std::lock_guard lock(mutex_);
    fresh_ = true;
  }
  posted_.notify_one();
}

void Mailbox::close() {
  std::vector<AskedCommand> unheard;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    unheard.swap(mail_.commands);
  }
  for (AskedCommand& asked : unheard)
    asked.reply.set_value({false, "it has stopped"});
}

}  // namespace ratchet
