#include "levels/3_service/routes.hpp"

namespace ratchet::service {
namespace {

// OpenTelemetry's boundaries for this metric, in seconds.
const std::vector<double>& boundaries() {
  static const std::vector<double> all{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10};
  return all;
}

EventRoute complete(EventRoute route) {
  if (route.type.empty()) route.type = route.topic;
  if (route.source.empty()) route.source = "/ratchetd" + route.path;
  return route;
}

}  // namespace

void RequestTimes::observe(int status, Duration took) {
  const double s = std::chrono::duration<double>(took).count();
  for (const auto& [code, histogram] : by_status_) {
    if (code == status) return histogram.observe(s);
  }
  by_status_.emplace_back(
      status, metrics_.histogram(
                  "http_server_request_duration_seconds", "Time from the end of the headers to the answer.",
                  {{"http_route", route_}, {"http_response_status_code", std::to_string(status)}}, boundaries()));
  by_status_.back().second.observe(s);
}

Routes::Routes(const std::vector<EventRoute>& routes, Metrics& metrics) {
  for (const auto& route : routes)
    by_path_.try_emplace(route.path, complete(route), metrics);
}

Route* Routes::find(std::string_view path) noexcept {
  const auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : &found->second;
}

void Routes::none_in_flight() noexcept {
  for (auto& [path, route] : by_path_)
    route.in_flight = 0;
}

}  // namespace ratchet::service
