#include "levels/3_service/routes.hpp"

#include <cassert>

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

std::vector<const Outbox*> named(const std::vector<std::string>& pools, const std::vector<Outbox>& outboxes) {
  std::vector<const Outbox*> found;
  for (const auto& outbox : outboxes)
    if (pools.empty()) found.push_back(&outbox);
  for (const auto& pool : pools)
    for (const auto& outbox : outboxes)
      if (outbox.pool == pool) found.push_back(&outbox);
  assert(!found.empty());
  return found;
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

const Outbox* Route::usable() const noexcept {
  for (const Outbox* one : outboxes)
    if (one->commits.accepts()) return one;
  return nullptr;
}

Routes::Routes(const std::vector<EventRoute>& routes, const std::vector<Outbox>& outboxes, Metrics& metrics) {
  for (const auto& route : routes)
    by_path_.try_emplace(route.path, complete(route), by_path_.size(), metrics, named(route.pools, outboxes));
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
