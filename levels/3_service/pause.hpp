// Waiting for what nobody signals (the reactor's counters): looks at it every 5 ms, and at whoever may have lost
// patience meanwhile.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "levels/core/patience.hpp"

namespace ratchet::service {

enum class Ended : std::uint8_t { true_now, in_time, impatient };  // the condition; `until`; the patience

// The clock is `time`; only the pause between two looks is the machine's own.
template <class Condition>
Ended wait_for(Condition&& condition, TimePoint until, const TimeSource& time, const Patience& patience) {
  std::mutex mutex;
  std::condition_variable nobody;
  std::unique_lock lock(mutex);
  for (;;) {
    if (condition()) return Ended::true_now;
    const TimePoint now = time.now();
    if (patience.over(now)) return Ended::impatient;
    if (now >= until) return Ended::in_time;
    const Duration step = std::min<Duration>({std::chrono::milliseconds(5), until - now, patience.left(now)});
    nobody.wait_for(lock, step);
  }
}

}  // namespace ratchet::service
