// Lines whose number strangers could drive: said rarely, each for a key (an address). Pure: the time is an argument.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "levels/core/clock.hpp"

namespace ratchet {

// Each key once an hour, and one line in ten seconds whatever the keys. At most 64 keys are remembered.
class RareLines {
 public:
  bool is_due(std::string key, TimePoint now);
  std::uint64_t take_left_out() noexcept { return std::exchange(left_out_, 0); }  // kept back since it was last asked

 private:
  std::map<std::string, TimePoint> said_;
  std::optional<TimePoint> last_;
  std::uint64_t left_out_ = 0;
};

}  // namespace ratchet
