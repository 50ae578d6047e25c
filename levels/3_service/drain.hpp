// Leaving without a failed request: the stages of DESIGN 7, in that order, each with its cap, each reporting how
// long it took and what ended it.
#pragma once

#include <string>
#include <vector>

#include "levels/0_baseline/health.hpp"
#include "levels/0_baseline/reactor.hpp"
#include "levels/core/level.hpp"

namespace ratchet::service {

struct StageReport {
  std::string_view stage;   // "announce", "balancer", "close port", "late", "requests"
  Duration took;
  std::string ended_by;
};

struct DrainReport {
  std::vector<StageReport> stages;
  std::uint64_t late_requests = 0;
  std::uint64_t cut_requests = 0;
};
std::string to_string(const DrainReport& report);   // one summary line

// Worker thread of level 3.
DrainReport drain(http::Reactor& reactor, Health& health, const DrainSettings& settings, const TimeSource& time, Patience& patience);
// The fall by fault: at most 3 s in all. `answer`: the bytes every new request gets.
DrainReport fall(http::Reactor& reactor, Health& health, std::string answer, const TimeSource& time, Patience& patience);

}  // namespace ratchet::service
