// The service port on loopback over a real PostgreSQL: everything between a client and the outbox is real.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "levels/3_service/server.hpp"
#include "tests/levels/1_database/world.hpp"
#include "tests/support/made_random.hpp"
#include "tests/support/raw_http.hpp"

namespace ratchet::tests {

inline EventRoute event_route(std::string path, std::string topic, std::optional<Reference> key = std::nullopt) {
  EventRoute route;
  route.path = std::move(path);
  route.topic = std::move(topic);
  route.key = std::move(key);
  return route;
}

inline Settings one_route() {
  Settings settings;
  settings.service.listen = {"127.0.0.1", 0};
  settings.service.limits.request = 60s;  // nothing expires by itself
  settings.log.level = 3;
  settings.routes = {event_route("/events/orders", "orders", Reference{Reference::From::body, "", {"customer"}}),
                     event_route("/events/any", "any")};
  return settings;
}

// Beneath, so that it is there before what needs it and gone after it.
struct Committing {
  explicit Committing(World& world, std::size_t queue_bytes)
      : commits({*world.pool, world.time, world.log, world.metrics, queue_bytes, 1}) {}
  db::GroupCommit commits;
};

class Gateway {
 public:
  explicit Gateway(Settings with = one_route(), milliseconds statement = 60s)
      : settings(std::move(with)), world(4, statement), committing(world, settings.outbox.queue_bytes) {
    limits.set({}, 1'000'000);
    committing.commits.set_sink(&server);
    start_commits();
    open();
  }
  ~Gateway() {
    server.close();
    stop_commits(Leave::asked);
  }

  void open() {
    const auto opened = server.open();
    if (!opened) throw std::runtime_error(opened.error().text);
    port = server.reactor()->port();
  }
  void start_commits() {
    Patience patience(world.time.now() + 30s);
    const auto started = committing.commits.start(patience);
    if (!started) throw std::runtime_error(started.error().text);
  }
  void stop_commits(Leave leave) {
    Patience patience(world.time.now() + 30s);
    committing.commits.stop(patience, leave);
  }

  static std::string post_text(const std::string& path, const std::string& body, const std::string& headers) {
    return "POST " + path + " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           headers + "\r\n" + body;
  }
  static std::string json_post(const std::string& path, const std::string& body, const std::string& headers = "") {
    return post_text(path, body, "Content-Type: application/json\r\n" + headers);
  }
  // On a connection of its own.
  RawAnswer send(const std::string& bytes) {
    RawHttp http(port);
    http.send(bytes);
    auto answer = http.read();
    return answer ? *answer : RawAnswer{};
  }
  RawAnswer post(const std::string& path, const std::string& body, const std::string& headers = "") {
    return send(json_post(path, body, headers));
  }

  std::string count(const std::string& where = "true") {
    return world.ask("select count(*) from ratchet.outbox where " + where);
  }
  double metric(const std::string& line_start) {
    std::istringstream lines(world.metrics.render());
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind(line_start, 0) == 0) return std::stod(line.substr(line.rfind(' ')));
    }
    return 0;
  }
  double rejected(const std::string& reason) { return metric("ratchet_rejected_total{reason=\"" + reason + "\"}"); }
  bool nobody_waits() { return metric("http_server_active_requests") == 0; }

  Settings settings;
  World world;
  Committing committing;
  StatusBoard board;
  Health health{board, world.time, 503};
  kafka::RecordLimits limits;
  std::atomic<bool> behind{false}, handlers_fail{false};
  bool is_behind() const {
    if (handlers_fail) throw std::runtime_error("planted");
    return behind;
  }
  tests::MadeRandom random;
  service::Server server{{settings,
                          health,
                          {{"main", committing.commits, [this] { return is_behind(); }}},
                          limits,
                          world.time,
                          world.log,
                          world.metrics,
                          [] { return 0.123; },
                          random,
                          world.alarms}};
  std::uint16_t port = 0;
};

inline std::string id_of(const RawAnswer& answer) {
  return nlohmann::json::parse(answer.body)["id"].get<std::string>();
}
inline std::string problem_type(const RawAnswer& answer) {
  constexpr std::string_view urn = "urn:ratchetd:problem:";
  if (answer.header("content-type") != "application/problem+json") return "no problem";
  const auto body = nlohmann::json::parse(answer.body);
  if (body["status"] != answer.status) return "another status in the body";
  return body["type"].get<std::string>().substr(urn.size());
}

}  // namespace ratchet::tests
