// When a held level is probed next, and when misses become its fault: so many in a row, the second asked at once.
#pragma once

#include <optional>

#include "levels/core/level.hpp"

namespace ratchet {

class Watch {
 public:
  Watch(int level, Incarnation incarnation, ProbePlan plan, TimePoint now) noexcept
      : level_(level), incarnation_(incarnation), plan_(plan), next_(now + plan.every) {}

  TimePoint next() const noexcept { return next_; }  // probe
  Duration patience() const noexcept { return plan_.patience; }

  // Something looks wrong: the next probe is due. One under way may have been answered before, so it does not count.
  void doubt(TimePoint now) noexcept {
    next_ = now;
    doubted_ = true;
  }
  void begun() noexcept { doubted_ = false; }  // a probe

  // What a probe that ended at `now` found. The level's fault once it has missed too often: then the watch is over.
  std::optional<Fault> judge(std::optional<Fault> found, TimePoint now);

 private:
  int level_;
  Incarnation incarnation_;
  ProbePlan plan_;
  TimePoint next_;
  int misses_ = 0;
  bool doubted_ = false;  // since the latest probe was begun
  std::optional<TimePoint> first_miss_;
};

}  // namespace ratchet
