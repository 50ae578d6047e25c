// Time as an argument. Nothing below daemon/main.cpp names a real clock, so every rule that depends on time
// can be tested with times made up by the test.
#pragma once

#include <chrono>

namespace ratchet {

using Clock = std::chrono::steady_clock;  // the type of the points in time; never asked for the time itself
using TimePoint = Clock::time_point;
using Duration = Clock::duration;
using WallTime = std::chrono::system_clock::time_point;

// Where the time comes from. Any thread.
class TimeSource {
 public:
  virtual ~TimeSource() = default;
  virtual TimePoint now() const noexcept = 0;    // monotonic: deadlines, intervals
  virtual WallTime wall() const noexcept = 0;    // for people and for records only: it may jump
};

}  // namespace ratchet
