// A breadth-first walk over all reachable states of a step function, with every rule of ladder.hpp checked at every
// transition, and whether it gets where it must be checked from every state.
//
// Two things make the states finite. Times: `wake_at` is either ahead of the walk's now or not, and every event is
// delivered both before and after it has come. Incarnations: only whether one equals the latest matters, so after
// each transition the latest of every level is called kLatest again.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "levels/core/ladder.hpp"

namespace ratchet::tests {

using Step = std::function<ladder::Next(const ladder::State&, const ladder::Event&, TimePoint)>;

struct WalkReport {
  std::size_t states = 0;
  std::size_t transitions = 0;
  std::vector<std::string> violations;  // the first 100
  bool broke(const std::string& rule) const;
};

WalkReport walk(const Step& step);

std::string to_text(const ladder::State& state, TimePoint now);
std::string to_text(const ladder::Event& event);
std::string to_text(const ladder::Action& action, TimePoint now);

}  // namespace ratchet::tests
