// What all simulated daemons share: the clock, the dice, the servers, the port's neighbours.
#pragma once

#include "tests/simulation/broker.hpp"
#include "tests/simulation/database.hpp"

namespace ratchet::simulation {

struct World {
  World(std::uint64_t seed, std::function<void(const std::string&)> say) : dice(seed), judge(time, std::move(say)) {}

  Timeline time;
  Dice dice;
  Judge judge;
  Database database{time, dice, judge};
  Broker broker{time, dice, judge};
  bool port_taken = false;
  // How unlucky the calls of the levels are: one in so many is slow, or ignores its patience; 0: none.
  int slow_calls = 0, stubborn_calls = 0;
};

}  // namespace ratchet::simulation
