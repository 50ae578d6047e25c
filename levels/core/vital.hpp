// The rule by which an operator lets the process exit because of its environment: a level that is missed, while it is
// its turn, for as long as was said. What stands above a missing level has nothing to be blamed for, so its time does
// not run meanwhile.
#pragma once

#include <optional>

#include "levels/core/clock.hpp"

namespace ratchet {

class Vital {
 public:
  Vital() = default;  // never
  explicit Vital(Duration exit_after) noexcept : exit_after_(exit_after) {}  // zero: never

  // `missed`: it is wanted, all below it is held, it is not.
  bool is_over(bool missed, TimePoint now) noexcept {
    if (!missed) since_.reset();
    if (!missed || exit_after_ == Duration::zero()) return false;
    if (!since_) since_ = now;
    return now - *since_ >= exit_after_;
  }

 private:
  Duration exit_after_ = Duration::zero();
  std::optional<TimePoint> since_;
};

}  // namespace ratchet
