// Which route a path is, and what is counted by route. Paths match exactly.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/1_database/group_commit.hpp"
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

// Where events may be kept.
struct Outbox {
  std::string pool;
  db::GroupCommit& commits;
  std::function<bool()> behind;  // its relay is over the budget (Relay::behind); reactor thread
  // When its pool is tried again, where that is not level 1's matter; reactor thread. May be null.
  std::function<std::optional<TimePoint>()> next_attempt{};
};

struct Route {
  Route(EventRoute event, std::size_t number, Metrics& metrics, std::vector<const Outbox*> where = {})
      : settings(std::move(event)),
        index(number),
        outboxes(std::move(where)),
        times(metrics, settings.path),
        on(settings.enabled) {}
  // The first that takes events now; null: none does.
  const Outbox* usable() const noexcept;

  EventRoute settings;                  // source and type filled in
  const std::size_t index;              // below Routes::size()
  std::vector<const Outbox*> outboxes;  // in order of preference
  RequestTimes times;
  std::size_t in_flight = 0;  // waiting for their commit
  std::atomic<bool> on;       // the kill switch; any thread
};

class Routes {
 public:
  // A route that names no pool may use all of them. `outboxes` must outlive this.
  Routes(const std::vector<EventRoute>& routes, const std::vector<Outbox>& outboxes, Metrics& metrics);
  Route* find(std::string_view path) noexcept;  // valid as long as this lives
  void none_in_flight() noexcept;
  std::size_t size() const noexcept { return by_path_.size(); }
  template <class F>
  void for_each(F&& visit) {
    for (auto& [path, route] : by_path_)
      visit(route);
  }

 private:
  std::map<std::string, Route, std::less<>> by_path_;
};

}  // namespace ratchet::service
