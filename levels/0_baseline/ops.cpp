#include "levels/0_baseline/ops.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <nlohmann/json.hpp>
#include <set>

#include "config/memory_need.hpp"

namespace ratchet {

namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json json_of(const LevelStatus& level) {
  Json json{{"level", level.level},          {"name", level.name},         {"held", level.held},
            {"since", rfc3339(level.since)}, {"attempts", level.attempts}, {"next_attempt", nullptr},
            {"degraded", nullptr},           {"last_fault", nullptr}};
  if (level.next_attempt) json["next_attempt"] = rfc3339(*level.next_attempt);
  if (level.degraded) json["degraded"] = redact(*level.degraded);
  if (level.last_fault) {
    json["last_fault"] = Json{{"kind", to_string(level.last_fault->kind)},
                              {"text", redact(level.last_fault->text)},
                              {"at", rfc3339(level.last_fault->at)}};
  }
  return json;
}

struct PageLine {
  std::string_view path;
  std::string_view what;
};
constexpr Duration kAliveWithin = std::chrono::seconds(10);  // its loop turns at least once a second
constexpr std::array<PageLine, 9> kPages{{{"/", "this page"},
                                          {"/live", "does the process turn?"},
                                          {"/ready", "is level 3 held?"},
                                          {"/health", "the same, with a summary (health+json)"},
                                          {"/levels", "the ladder: what is held, since when, what failed last"},
                                          {"/alarms", "what wants a person, and what to do"},
                                          {"/history", "the latest transitions and faults"},
                                          {"/metrics", "Prometheus text format"},
                                          {"/info", "version, build, limits"}}};

std::string escaped_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string index_page(const std::string& instance) {
  const std::string name = escaped_html(instance);
  std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>ratchetd " + name +
                    "</title></head><body>\n<h1>ratchetd " + name + "</h1>\n<ul>\n";
  for (const auto& [path, what] : kPages)
    out.append("<li><a href=\"").append(path).append("\">").append(path).append("</a> ").append(what).append("</li>\n");
  return out + "</ul>\n</body></html>\n";
}

Json json_of(const HttpLimits& limits) {
  return {{"request_line_bytes", limits.request_line_bytes},
          {"header_bytes", limits.header_bytes},
          {"headers", limits.headers},
          {"body_bytes", limits.body_bytes},
          {"header_wait_ms", limits.header_wait.count()},
          {"body_wait_ms", limits.body_wait.count()},
          {"idle_ms", limits.idle.count()},
          {"request_ms", limits.request.count()},
          {"connections", limits.connections},
          {"connections_per_address", limits.connections_per_address},
          {"buffer_bytes", limits.buffer_bytes}};
}

HttpLimits limits_of(const OpsSettings& settings) {
  HttpLimits limits;
  limits.connections = settings.connections;
  limits.buffer_bytes = kOpsBufferBytes;
  return limits;
}

std::string_view title_of(int status) noexcept {
  switch (status) {
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

// What is read rather than counted is set just before each rendering.
void keep_current(const Ops::Parts& parts) {
  auto dropped = parts.metrics.counter("ratchet_log_dropped_total", "Log lines that did not fit into the pipe");
  auto level = parts.metrics.gauge("ratchet_level", "The highest operational level held");
  parts.metrics.before_render([&log = parts.log, &board = parts.board, &alarms = parts.alarms, &metrics = parts.metrics,
                               dropped, level, known = std::set<std::string>()]() mutable {
    dropped.add(static_cast<double>(log.dropped()) - dropped.value());
    if (const auto status = board.read()) level.set(status->held);
    std::set<std::string> set_now;
    for (const AlarmStatus& alarm : alarms.list())
      set_now.insert(alarm.id);
    known.insert(set_now.begin(), set_now.end());
    for (const std::string& id : known)
      metrics.gauge("ratchet_alarms", "1 while the alarm is set", {{"id", id}}).set(set_now.count(id) != 0 ? 1 : 0);
  });
}

}  // namespace

std::string to_json(const Status& status) {
  Json json{{"instance", status.instance}, {"version", status.version},        {"held", status.held},
            {"ceiling", status.ceiling},   {"doing", to_string(status.doing)}, {"since", rfc3339(status.since)},
            {"levels", Json::array()},     {"alarms", Json::array()}};
  for (const LevelStatus& level : status.levels)
    json["levels"].push_back(json_of(level));
  for (const AlarmStatus& alarm : status.alarms)
    json["alarms"].push_back({{"id", alarm.id}, {"since", rfc3339(alarm.since)}, {"text", redact(alarm.text)}});
  return dump(json);
}

std::string to_json(const std::vector<AlarmStatus>& alarms) {
  Json json = Json::array();
  for (const AlarmStatus& alarm : alarms) {
    json.push_back(
        {{"id", alarm.id}, {"since", rfc3339(alarm.since)}, {"text", redact(alarm.text)}, {"runbook", alarm.runbook}});
  }
  return dump(json);
}

std::string to_json(const std::vector<History::Entry>& history) {
  Json json = Json::array();
  for (const History::Entry& entry : history) {
    json.push_back(
        {{"at", rfc3339(entry.at)}, {"what", entry.what}, {"level", entry.level}, {"text", redact(entry.text)}});
  }
  return dump(json);
}

class Ops::Inside final : public http::Service {
 public:
  explicit Inside(const Parts& parts)
      : parts_(parts),
        started_(parts.time.now()),
        reactor_({"ops", limits_of(parts.settings.ops)}, *this, parts.time, parts.log, parts.metrics) {
    keep_current(parts_);
    router_.get("/", [this](const auto&) {
      return http::Page{200, "text/html; charset=utf-8", index_page(parts_.settings.instance), {}};
    });
    router_.get("/levels", [this](const auto&) {
      const auto status = parts_.board.read();
      if (status == nullptr) return http::problem_page(503, title_of(503), "the control loop has not spoken yet");
      return json_page(to_json(*status));
    });
    router_.get("/alarms", [this](const auto&) { return json_page(to_json(parts_.alarms.list())); });
    router_.get("/history", [this](const auto&) { return json_page(to_json(parts_.history.list())); });
    router_.get("/metrics", [this](const auto&) {
      return http::Page{200, "text/plain; version=0.0.4; charset=utf-8", parts_.metrics.render(), {}};
    });
    router_.get("/info", [this](const auto&) { return json_page(info()); });
  }

  bool open() {
    if (open_) return true;
    const auto listening = reactor_.listen(parts_.settings.ops.listen);
    if (!listening) {
      parts_.alarms.set("ops.port", listening.error().text,
                        "Find who holds it (ss -ltnp), or change ops.listen; it is tried again each second");
      return false;
    }
    parts_.alarms.clear("ops.port");
    open_ = true;
    return true;
  }

  bool alive(TimePoint now) const noexcept { return now - reactor_.turned() < kAliveWithin; }
  std::uint16_t port() const noexcept { return open_ ? reactor_.port() : std::uint16_t{0}; }

  http::Served serve(http::Reactor& reactor, const http::Request& request) override {
    if (parts_.health.serve(reactor, request)) return http::Served::answered;
    const http::Head& head = request.head;
    if (head.method == "GET" || head.method == "HEAD") {
      say(reactor, request.ticket, router_.serve(as_request(head)));
    } else if (std::any_of(kPages.begin(), kPages.end(),
                           [&](const PageLine& page) { return page.path == head.path; })) {
      http::Page page = http::problem_page(405, title_of(405), "this page is read with GET or HEAD");
      page.headers.emplace_back("Allow", "GET, HEAD");
      say(reactor, request.ticket, page);
    } else {
      say(reactor, request.ticket, http::problem_page(404, title_of(404), "there is no such page"));
    }
    return http::Served::answered;
  }

  bool is_health(const http::Head& head) const override { return Health::asks(head); }
  // No page has use for a body.
  bool admit(http::Reactor& reactor, const http::Request& request) override {
    serve(reactor, request);
    return false;
  }

  void expired(http::Reactor&, http::Ticket) override { assert(false && "nothing is deferred here"); }

  std::string refusal_body(const http::Refusal& refusal) override {
    return http::problem_page(refusal.status, title_of(refusal.status), refusal.detail).body;
  }

 private:
  static http::Page json_page(std::string body) { return {200, "application/json", std::move(body), {}}; }

  // The router gets the request anew, from what was scanned, and nothing that could make it do more than route
  // (ranges, compression, expectations).
  static std::string as_request(const http::Head& head) {
    std::string raw;
    raw.append(head.method).append(" ").append(head.path);
    if (!head.query.empty()) raw.append("?").append(head.query);
    raw.append(" HTTP/1.1\r\nHost: ops\r\n\r\n");
    return raw;
  }

  static void say(http::Reactor& reactor, http::Ticket ticket, const http::Page& page) {
    std::string headers = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
    for (const auto& [name, value] : page.headers)
      headers.append(name).append(": ").append(value).append("\r\n");
    reactor.answer(ticket, {page.status, page.content_type, page.body, headers, false});
  }

  std::string info() const {
    const auto up = std::chrono::duration_cast<std::chrono::seconds>(parts_.time.now() - started_);
    Json levels = Json::array();
    if (const auto status = parts_.board.read())
      for (const LevelStatus& level : status->levels)
        levels.push_back(level.name);
    const Settings& settings = parts_.settings;
    return dump({{"instance", settings.instance},
                 {"version", RATCHET_VERSION},
                 {"build", {{"compiler", __VERSION__}, {"optimised", kOptimised}, {"asserts", kAsserts}}},
                 {"pid", getpid()},
                 {"uptime_s", up.count()},
                 {"levels", levels},
                 {"limits",
                  {{"service", json_of(settings.service.limits)},
                   {"ops", json_of(limits_of(settings.ops))},
                   {"commit_queue_bytes", settings.outbox.queue_bytes},
                   {"outbox_rows", settings.outbox.max_rows},
                   {"outbox_bytes", settings.outbox.max_bytes},
                   {"outbox_age_s", settings.outbox.max_age.count()},
                   {"record_bytes", settings.broker.max_record_bytes}}}});
  }

#ifdef __OPTIMIZE__
  static constexpr bool kOptimised = true;
#else
  static constexpr bool kOptimised = false;
#endif
#ifdef NDEBUG
  static constexpr bool kAsserts = false;
#else
  static constexpr bool kAsserts = true;
#endif

  const Parts parts_;
  const TimePoint started_;
  http::Router router_;  // reactor thread only
  std::atomic<bool> open_{false};
  http::Reactor reactor_;  // last: its thread calls the rest
};

Ops::Ops(const Parts& parts) : inside_(std::make_unique<Inside>(parts)) {}
Ops::~Ops() = default;
bool Ops::open() { return inside_->open(); }
std::uint16_t Ops::port() const noexcept { return inside_->port(); }
bool Ops::alive(TimePoint now) const noexcept { return inside_->alive(now); }

}  // namespace ratchet
