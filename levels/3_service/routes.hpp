// Which route a path is, and what is counted by route. Paths match exactly.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/core/clock.hpp"

namespace ratchet::service {

// http_server_request_duration_seconds of one route ("" where no route matched). One thread at a time.
class RequestTimes {
 public:
  RequestTimes(Metrics& metrics, std::string route) : metrics_(metrics), route_(std::move(route)) {}
  void observe(int status, Duration took);

 private:
  Metrics& metrics_;
  std::string route_;
  std::vector<std::pair<int, Histogram>> by_status_;  // made at the first answer of that status
};

struct Route {
  Route(EventRoute event, Metrics& metrics) : settings(std::move(event)), times(metrics, settings.path) {}
  EventRoute settings;  // source and type filled in
  RequestTimes times;
  std::size_t in_flight = 0;  // waiting for their commit
};

class Routes {
 public:
  Routes(const std::vector<EventRoute>& routes, Metrics& metrics);
  Route* find(std::string_view path) noexcept;  // valid as long as this lives
  void none_in_flight() noexcept;

 private:
  std::map<std::string, Route, std::less<>> by_path_;
};

}  // namespace ratchet::service
