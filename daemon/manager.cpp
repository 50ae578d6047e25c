#include "daemon/manager.hpp"

#include <utility>

namespace ratchet {

Manager::Manager(Parts parts, Mailbox& mailbox)
    : mailbox_(mailbox),
      workers_(std::make_unique<Threads>(parts.levels, parts.time, mailbox)),
      conductor_(std::move(parts), *workers_) {}

// After a whole run nothing is left to do here. Without one (a test) the workers end before what they probe.
Manager::~Manager() {
  workers_.reset();
  mailbox_.wait(Duration::zero());  // a level raised too late is released with its completion
}

int Manager::run() {
  conductor_.begin();
  while (!conductor_.exited())
    conductor_.turn(mailbox_.wait(conductor_.nap()));
  mailbox_.close();
  conductor_.sum_up();
  return conductor_.exit_code();
}

void Manager::nudge() {
  workers_->nudge();
  mailbox_.nudge();
}

// ---- workers -----------------------------------------------------------------------------------------------------

Manager::Threads::Threads(const std::array<Level*, kTopLevel>& levels, const TimeSource& time, Mailbox& mailbox) {
  for (int level = 1; level <= kTopLevel; ++level) {
    const auto index = static_cast<std::size_t>(level - 1);
    threads_[index] = std::make_unique<Worker>(level, *levels[index], time, mailbox);
  }
}

Manager::Threads::~Threads() {
  for (auto thread = threads_.rbegin(); thread != threads_.rend(); ++thread)
    thread->reset();
}

void Manager::Threads::raise(int level, Incarnation incarnation, TimePoint deadline) {
  of(level).raise(incarnation, deadline);
}

void Manager::Threads::watch(int level, HeldLevel& held, Incarnation incarnation) {
  of(level).watch(held, incarnation);
}

void Manager::Threads::lower(int level, std::unique_ptr<HeldLevel> held, Leave leave, TimePoint deadline) {
  of(level).lower(std::move(held), leave, deadline);
}

void Manager::Threads::hurry(int level, Leave leave, TimePoint deadline) { of(level).hurry(leave, deadline); }

std::optional<Workers::Call> Manager::Threads::call(int level) const { return of(level).call(); }

void Manager::Threads::nudge() {
  for (const auto& thread : threads_)
    thread->nudge();
}

}  // namespace ratchet
