// Which pools keep events, and which of them each route uses: needs all pools and routes, so it follows the reading.
#pragma once

#include <vector>

#include "config/checks.hpp"

namespace ratchet {

struct RouteSpot {
  std::string pointer;  // "/routes/3"
  bool listed = false;  // its `pool` is written as a list
};

// Fills `outbox` of the pools and `pools` of the routes. `spots`: of settings.routes, one each. The rest as in
// checks.hpp.
void resolve_pools(Settings& settings, const std::vector<RouteSpot>& spots,
                   const std::function<bool(std::string_view)>& sound, const std::function<void(CrossMistake)>& report);

}  // namespace ratchet
