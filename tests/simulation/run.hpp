// One run: some daemons, clients, and a script of faults drawn from the seed. First everything goes wrong for a while
// and only safety counts; then all faults stop, and what was promised must come about in time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "levels/0_baseline/log.hpp"
#include "tests/simulation/timeline.hpp"

namespace ratchet::simulation {

// When faults stop, level 3 is held again, and stays, within this time. The longest way there: a raise that was
// hanging gives up (10 s, the broker's patience), or a fault is yet to be seen (2 s to the next probe, two misses of
// 1 s) and its fall takes 3 s; then the longest rest; then three raises.
extern const Duration kPromise;

struct Outcome {
  std::optional<std::string> violation;
  std::uint64_t digest = 0;  // of the journal: the same for the same seed
  Duration simulated{};
  std::uint64_t acknowledged = 0, published = 0, buried = 0, faults = 0, starts = 0;
};

// `say` gets the journal line by line; empty: none.
Outcome run(std::uint64_t seed, std::function<void(const std::string&)> say = {});

}  // namespace ratchet::simulation
