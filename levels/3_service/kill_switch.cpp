#include "levels/3_service/kill_switch.hpp"

namespace ratchet::service {

namespace {

std::string id_of(const Route& route) { return "route.off." + route.settings.path; }

void set_alarm(const Route& route, const std::string& why, AlarmBoard& alarms) {
  alarms.set(id_of(route), "route " + route.settings.path + " is switched off " + why,
             "ratchetctl route on " + route.settings.path);
}

}  // namespace

void alarm_switched_off(Routes& routes, AlarmBoard& alarms) {
  routes.for_each([&alarms](const Route& route) {
    if (!route.on) set_alarm(route, "by the configuration", alarms);
  });
}

bool switch_route(Routes& routes, std::string_view path, bool on, const std::string& why, AlarmBoard& alarms,
                  Log& log) {
  Route* const route = routes.find(path);
  if (route == nullptr) return false;
  route->on = on;
  log.notice(on ? "route switched on" : "route switched off", {{"route", std::string(path)}, {"why", why}});
  if (on) {
    alarms.clear(id_of(*route));
  } else {
    set_alarm(*route, why, alarms);
  }
  return true;
}

}  // namespace ratchet::service
