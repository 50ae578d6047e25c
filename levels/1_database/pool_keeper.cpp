// The pool's two threads: the keeper watches and cuts, the opener connects.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "levels/1_database/pool_inside.hpp"
#include "levels/core/runbook.hpp"

namespace ratchet::db {
namespace {

using std::chrono::milliseconds;

constexpr auto kShort = std::chrono::seconds(5);         // with fewer than are needed, before that is a fault
constexpr auto kLongestSleep = std::chrono::seconds(1);  // calls with the usual patience are looked at so often

bool has_ended(int socket) noexcept {
  pollfd file{socket, POLLRDHUP, 0};
  return ::poll(&file, 1, 0) > 0;
}

}  // namespace

// ---- keeper ------------------------------------------------------------------------------------------------------

void Pool::Inside::kick() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(event_, &one, sizeof one);  // full means it is awake anyway
}

void Pool::Inside::keep() {
  std::vector<pollfd> files;
  std::vector<Connection*> whose;
  Lock lock(mutex_);
  while (!stopping_) {
    std::vector<std::unique_ptr<Connection>> old;
    TimePoint now = parts_.time.now();
    cut_overdue(now);
    retire_old(old, now);
    files.assign(1, pollfd{event_, POLLIN, 0});
    whose.assign(1, nullptr);
    for (const auto& slot : slots_) {
      if (slot->dead) continue;
      const bool idle = slot->use == Use::idle;
      files.push_back({slot->connection->socket(), static_cast<short>(idle ? POLLIN | POLLRDHUP : POLLRDHUP), 0});
      whose.push_back(slot->connection);
    }
    if (!old.empty()) {
      lock.unlock();
      old.clear();
      lock.lock();
    }
    wake_at_.store(TimePoint::max());  // from here on a new deadline kicks
    now = parts_.time.now();
    const TimePoint until = next_look(now);
    const auto nap = std::chrono::ceil<milliseconds>(std::max(until - now, Duration::zero()));
    wake_at_.store(until);
    lock.unlock();
    ::poll(files.data(), files.size(), static_cast<int>(nap.count()));
    std::uint64_t kicks = 0;
    [[maybe_unused]] const auto read = ::read(event_, &kicks, sizeof kicks);
    lock.lock();
    wake_at_.store(TimePoint::max());
    for (std::size_t i = 1; i < files.size(); ++i) {
      if (files[i].revents != 0) heard(lock, whose[i]);
    }
  }
}

TimePoint Pool::Inside::next_look(TimePoint now) const noexcept {
  TimePoint first = now + kLongestSleep;
  for (const auto& slot : slots_) {
    if (slot->use == Use::idle) {
      if (slot->retire_at > now) first = std::min(first, slot->retire_at);
    } else {
      if (const auto due = slot->connection->due(now)) first = std::min(first, std::max(*due, now));
      if (slot->patience != nullptr && !slot->connection->was_cut()) first = std::min(first, slot->patience->nap(now));
    }
  }
  return first;
}

void Pool::Inside::cut_overdue(TimePoint now) {
  for (const auto& slot : slots_) {
    if (slot->patience != nullptr && slot->patience->over(now) && !slot->connection->was_cut()) slot->connection->cut();
    if (slot->use == Use::idle || slot->dead || !slot->connection->cut_if_overdue(now)) continue;
    parts_.log.warning("database call cut: no answer in time",
                       {{"pool", settings_.name}, {"server", slot->connection->where()}});
  }
}

// Something happened on a socket: of an idle connection anything, of one in use its end. Looked at anew, because the
// slot may have changed hands since.
void Pool::Inside::heard(Lock& lock, Connection* which) {
  Slot* slot = find(which);
  if (slot == nullptr) return;
  const bool ended = has_ended(which->socket());
  if (slot->use == Use::idle) {
    auto connection = take(*slot, Use::looked_at);
    lock.unlock();
    const bool good = connection->look() && !ended;  // takes in the server's last words
    lock.lock();
    slot = find(which);
    if (slot != nullptr && good) {
      settle(*slot, std::move(connection));
    } else if (slot != nullptr) {
      const auto why = connection->loss();
      remove(which, why.empty() ? "closed by the server" : why);
    }
    came_home_.notify_all();
    lock.unlock();
    connection.reset();
    lock.lock();
  } else if (ended && !slot->dead) {
    slot->dead = true;  // its user finds out by itself
    if (phase_ == Phase::open && refill_.lost_one(live()) && opening_ != nullptr)
      opening_->shrink_to(parts_.time.now() + Refill::patience(0));
    opener_.notify_all();
  }
}

// One at a time, only while nothing is missing: the others go on serving.
void Pool::Inside::retire_old(std::vector<std::unique_ptr<Connection>>& old, TimePoint now) {
  if (phase_ != Phase::open) return;
  for (const auto& slot : slots_) {
    if (slot->use != Use::idle || !may_retire(*slot, now)) continue;
    old.push_back(std::move(slot->home));
    remove(slot->connection, {});
    return;
  }
}

// ---- opener ------------------------------------------------------------------------------------------------------

void Pool::Inside::open_more() {
  Lock lock(mutex_);
  while (!stopping_) {
    const auto due = phase_ == Phase::open ? refill_.due(present()) : std::nullopt;
    const auto look = next_unfinished_look();
    const TimePoint now = parts_.time.now();
    if (look && now >= *look) {
      look_at_unfinished(lock);
    } else if (due && now >= *due) {
      open_one(lock);
    } else if (due || look) {
      opener_.wait_until(lock, std::min(due.value_or(TimePoint::max()), look.value_or(TimePoint::max())));
    } else {
      opener_.wait(lock);
    }
  }
}

void Pool::Inside::open_one(Lock& lock) {
  const std::uint64_t mine = generation_;
  const bool alone = live() == 0;
  Patience patience(parts_.time.now() + Refill::patience(live()));
  opening_ = &patience;
  lock.unlock();
  auto connection = connect(patience);
  std::optional<Fault> fault;
  if (!connection) fault = connection.error();
  lock.lock();
  const bool wanted = mine == generation_;
  if (!fault && wanted) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->connection = connection->get();
    lock.unlock();
    const auto role = check_role(**connection, patience.deadline(), patience);
    if (!role) fault = role.error();
    lock.lock();
  }
  opening_ = nullptr;
  if (mine != generation_) {  // close() took the slot off the list
    lock.unlock();
    if (!fault) connection->reset();
    lock.lock();
  } else if (fault) {
    if (connection) note_left(**connection);
    if (connection) remove(connection->get(), {});
    not_joined(*fault, alone);
  } else {
    joined(*std::move(connection));
    slow_start(parts_.time.now());
  }
}

// The slot is on the list, joining. From a size of 2 on one connection is kept for the probe, never the only one.
void Pool::Inside::joined(std::unique_ptr<Connection> connection) {
  Slot& slot = *find(connection.get());
  const bool has_reserved = std::any_of(
      slots_.begin(), slots_.end(), [](const auto& s) { return s->reserved && !s->dead && !s->connection->broken(); });
  slot.reserved = settings_.size >= 2 && !has_reserved && lendable() >= 1;
  slot.retire_at =
      parts_.time.now() + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(
                              static_cast<double>(settings_.lifetime.count()) * (0.8 + 0.4 * parts_.chance())));
  refill_.joined(live());
  open_error_.clear();
  if (live() + 1 >= parts_.needed) short_since_.reset();
  settle(slot, std::move(connection));
  came_home_.notify_all();
}

void Pool::Inside::slow_start(TimePoint now) {
  if (refill_.step(live(), now, parts_.chance())) parts_.alarms.clear("pool." + settings_.name + ".too-many");
}

// Looked at whenever one more could not be had; told after a while, as a restart of the server looks the same.
bool Pool::Inside::short_for_long(TimePoint now) {
  if (live() >= parts_.needed) return false;
  if (!short_since_) short_since_ = now;
  return now - *short_since_ >= kShort;
}

// `alone`: it was begun with no other connection there.
void Pool::Inside::not_joined(const Fault& fault, bool alone) {
  if (phase_ != Phase::open) return;
  const bool starved = live() > 0 && short_for_long(parts_.time.now());
  switch (refill_.failed(fault.kind, live(), alone, parts_.time.now(), parts_.chance())) {
    case Refill::Verdict::lost:
      lose(fault_of(fault.kind, fault.text));
      return;
    case Refill::Verdict::at_once:
      return;
    case Refill::Verdict::later:
      break;
  }
  if (starved) {
    const Fault few = too_few(fault, live());
    return lose(fault_of(few.kind, few.text));
  }
  if (refill_.too_many()) {
    parts_.alarms.set("pool." + settings_.name + ".too-many",
                      std::to_string(live()) + " of " + std::to_string(settings_.size) + " connections: " + fault.text,
                      runbook(FaultKind::too_many_connections));
  }
  if (open_error_ != fault.text) {
    parts_.log.warning("no further database connection", {{"pool", settings_.name}, {"why", fault.text}});
  }
  open_error_ = fault.text;
  note("database " + settings_.name + ": " + fault.text);
}

}  // namespace ratchet::db
