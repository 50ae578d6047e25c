// Deadlines of one kind, all equally long: then the order in which they start is the order in which they end, and
// a plain linked list does what a heap would do, in constant time and without allocating. One thread.
#pragma once

#include <cassert>
#include <cstdint>

#include "levels/core/clock.hpp"

namespace ratchet::http {

class DeadlineList;

// Lives inside what has the deadline, at a fixed address; on at most one list at a time.
struct DeadlineHook {
  DeadlineHook() = default;
  DeadlineHook(const DeadlineHook&) = delete;
  DeadlineHook& operator=(const DeadlineHook&) = delete;

  DeadlineHook* before = nullptr;
  DeadlineHook* after = nullptr;
  DeadlineList* list = nullptr;  // null: no deadline is running
  TimePoint due{};
  std::uint32_t owner = 0;       // for whoever finds the hook in a list
};

class DeadlineList {
 public:
  explicit DeadlineList(Duration length) noexcept : length_(length) {}
  DeadlineList(const DeadlineList&) = delete;
  DeadlineList& operator=(const DeadlineList&) = delete;

  // From `now` on; a deadline that was running, here or on another list, is forgotten. `now` never goes back.
  void start(DeadlineHook& hook, TimePoint now) noexcept {
    stop(hook);
    hook.list = this;
    hook.due = now + length_;
    hook.before = last_;
    (last_ == nullptr ? first_ : last_->after) = &hook;
    last_ = &hook;
  }

  static void stop(DeadlineHook& hook) noexcept {
    if (hook.list == nullptr) return;
    DeadlineList& list = *hook.list;
    (hook.before == nullptr ? list.first_ : hook.before->after) = hook.after;
    (hook.after == nullptr ? list.last_ : hook.after->before) = hook.before;
    hook.before = hook.after = nullptr;
    hook.list = nullptr;
  }

  // Takes one off the list whose time is up; null when there is none.
  DeadlineHook* expired(TimePoint now) noexcept {
    DeadlineHook* const hook = first_;
    if (hook == nullptr || hook->due > now) return nullptr;
    stop(*hook);
    return hook;
  }

  // The one that was started before all others; null when none is running.
  DeadlineHook* first() const noexcept { return first_; }

  // When the next one is due; TimePoint::max() when none is running.
  TimePoint next() const noexcept { return first_ == nullptr ? TimePoint::max() : first_->due; }
  Duration length() const noexcept { return length_; }

 private:
  Duration length_;
  DeadlineHook* first_ = nullptr;
  DeadlineHook* last_ = nullptr;
};

}  // namespace ratchet::http
