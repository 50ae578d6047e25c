// The kill switch of a route: off answers 503 route-off, with the alarm route.off.PATH, until it is switched on or the
// process ends.
#pragma once

#include <string>
#include <string_view>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/3_service/routes.hpp"

namespace ratchet::service {

// Sets the alarms of those that the configuration has switched off.
void alarm_switched_off(Routes& routes, AlarmBoard& alarms);

// `why`: for people ("by uid 0: a loop in the shop"). False: no route has this path. Any thread.
bool switch_route(Routes& routes, std::string_view path, bool on, const std::string& why, AlarmBoard& alarms, Log& log);

}  // namespace ratchet::service
