// How long somebody is still willing to wait: a deadline that only ever shrinks. A second SIGTERM or a fault
// further down shrinks it while the work is under way, so everything that waits looks at it again and again:
// `nap` is the longest it may sleep before the next look.
#pragma once

#include <algorithm>
#include <atomic>

#include "levels/core/clock.hpp"

namespace ratchet {

class Patience {
 public:
  explicit Patience(TimePoint deadline) noexcept : deadline_(deadline.time_since_epoch().count()) {}

  TimePoint deadline() const noexcept { return TimePoint(Duration(deadline_.load(std::memory_order_acquire))); }
  bool over(TimePoint now) const noexcept { return now >= deadline(); }
  Duration left(TimePoint now) const noexcept { return std::max(Duration::zero(), deadline() - now); }

  // A later deadline than the present one changes nothing. Any thread.
  void shrink_to(TimePoint deadline) noexcept {
    auto wanted = deadline.time_since_epoch().count();
    auto seen = deadline_.load(std::memory_order_relaxed);
    while (wanted < seen && !deadline_.compare_exchange_weak(seen, wanted, std::memory_order_acq_rel)) {
    }
  }

  // Until when one may sleep without looking here again.
  TimePoint nap(TimePoint now) const noexcept { return std::min(deadline(), now + std::chrono::milliseconds(20)); }

 private:
  std::atomic<Duration::rep> deadline_;
};

}  // namespace ratchet
