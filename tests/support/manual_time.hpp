// A clock that a test moves by hand.
#pragma once

#include <atomic>

#include "levels/core/clock.hpp"

namespace ratchet::tests {

class ManualTime final : public TimeSource {
 public:
  TimePoint now() const noexcept override { return TimePoint(Duration(now_.load())); }
  WallTime wall() const noexcept override { return WallTime(std::chrono::duration_cast<WallTime::duration>(Duration(now_.load()) + std::chrono::hours(24 * 365 * 50))); }
  void advance(Duration by) noexcept { now_ += by.count(); }

 private:
  std::atomic<Duration::rep> now_{std::chrono::duration_cast<Duration>(std::chrono::hours(1)).count()};
};

}  // namespace ratchet::tests
