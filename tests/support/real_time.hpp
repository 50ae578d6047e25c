// The real clocks, for tests against real servers.
#pragma once

#include "levels/core/clock.hpp"

namespace ratchet::tests {

class RealTime final : public TimeSource {
 public:
  TimePoint now() const noexcept override { return Clock::now(); }
  WallTime wall() const noexcept override { return std::chrono::system_clock::now(); }
};

}  // namespace ratchet::tests
