#include "levels/0_baseline/health.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "levels/0_baseline/log.hpp"

namespace ratchet {

namespace {

using Json = nlohmann::ordered_json;
using std::chrono::seconds;

constexpr Duration kTickPatience = seconds(5);
constexpr int kRetryUnderHold = 30;

// Names and yes or no, nothing of hosts or texts: the service port shows this, too.
void add_checks(Json& body, const Status& status) {
  auto& checks = body["checks"] = Json::object();
  for (const LevelStatus& level : status.levels) {
    const char* verdict = level.degraded ? "warn" : level.held ? "pass" : "fail";
    checks["level " + std::to_string(level.level) + " " + std::string(level.name) + ":held"] =
        Json::array({Json{{"componentType", "component"},
                          {"observedValue", level.held},
                          {"status", verdict},
                          {"time", rfc3339(level.since)}}});
  }
  for (const AlarmStatus& alarm : status.alarms)
    checks["alarm:" + alarm.id] =
        Json::array({Json{{"componentType", "component"}, {"status", "warn"}, {"time", rfc3339(alarm.since)}}});
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

bool is_path(std::string_view path) noexcept { return path == "/live" || path == "/ready" || path == "/health"; }
bool is_reading(std::string_view method) noexcept { return method == "GET" || method == "HEAD"; }

}  // namespace

Health::Health(const StatusBoard& board, const TimeSource& time, int drain_code, BalancerRules rules, Log* log)
    : board_(board), time_(time), drain_code_(drain_code), log_(log), words_(std::move(rules)) {}

void Health::set_draining(bool draining) noexcept {
  const bool before = draining_.exchange(draining);
  if (draining == before) return;
  std::lock_guard lock(mutex_);
  draining ? probers_.drains(time_.now()) : probers_.drains_no_more();
}

bool Health::asks(const http::Head& head) noexcept { return is_path(head.path) && is_reading(head.method); }

bool Health::serve(http::Reactor& reactor, const http::Request& request) {
  const std::string_view path = request.head.path;
  if (!is_path(path)) return false;
  if (!is_reading(request.head.method)) {
    reactor.answer(request.ticket, {405, "application/json", R"({"status":"fail"})", "Allow: GET, HEAD\r\n", false});
    return true;
  }
  if (path == "/live") {
    live(reactor, request);
  } else {
    note_probe(reactor, request);
    ready(reactor, request, path == "/health");
  }
  return true;
}

bool Health::control_loop_turns() const noexcept { return time_.now() - board_.ticked() <= kTickPatience; }

void Health::live(http::Reactor& reactor, const http::Request& request) const {
  const bool turns = control_loop_turns();
  reactor.answer(request.ticket, {turns ? 200 : 503, "application/health+json",
                                  turns ? R"({"status":"pass"})" : R"({"status":"fail"})", "", false});
}

void Health::ready(http::Reactor& reactor, const http::Request& request, bool summary) const {
  const bool draining = draining_.load(std::memory_order_acquire);
  const auto status = board_.read();
  const bool fit = board_.ready() && !draining && (!summary || control_loop_turns());
  std::string headers = "Cache-Control: no-store\r\n";
  int code = 200;
  if (!fit) {
    code = draining && !summary ? drain_code_ : 503;
    headers += "Retry-After: " + std::to_string(retry_after()) + "\r\n";
    if (draining) headers += "x-envoy-immediate-health-check-fail: true\r\n";
  }

  Json body{{"status", fit ? "pass" : "fail"}};
  if (status != nullptr) {
    const bool whole =
        status->alarms.empty() && std::none_of(status->levels.begin(), status->levels.end(),
                                               [](const auto& level) { return level.degraded.has_value(); });
    if (fit && !whole) body["status"] = "warn";
    if (draining) body["output"] = "draining";
    if (!draining && !fit)
      body["output"] = std::string(to_string(status->doing)) + " at level " + std::to_string(status->held);
    if (summary) add_checks(body, *status);
  }
  const std::string text = dump(body);
  reactor.answer(request.ticket, {code, "application/health+json", text, headers, false});
}

int Health::retry_after() const {
  const auto status = board_.read();
  return status == nullptr ? 1 : retry_after(*status, time_.now());
}

int Health::retry_after(const Status& status, TimePoint now) const {
  if (status.hold || status.ceiling < kTopLevel) return kRetryUnderHold;
  const Duration left = status.next_attempt ? std::max(Duration::zero(), *status.next_attempt - now) : Duration::zero();
  const auto whole = static_cast<int>(std::chrono::ceil<seconds>(left).count());
  // Up to a fifth more, at least one second, dealt out in turn, so that who was sent away together comes back apart.
  const auto spread = static_cast<std::uint64_t>(std::max(1, whole / 5)) + 1;
  const auto extra = static_cast<int>(waits_told_.fetch_add(1, std::memory_order_relaxed) % spread);
  return std::max(1, whole + extra);
}

void Health::note_probe(const http::Reactor& reactor, const http::Request& request) {
  const TimePoint now = time_.now();
  std::lock_guard lock(mutex_);
  const Probe probe = words_.judge(reactor, request);
  if (probe.is_heard()) {
    probers_.heard(*probe.word, now);
  } else if (probe.counts) {
    probers_.asked(probe.from, probe.listed, probe.word && probe.unheard != Probe::Unheard::forwarded, now);
  }
  if (probe.word && !probe.is_heard() && log_ != nullptr) say_unheard(probe, now);
}

void Health::say_unheard(const Probe& probe, TimePoint now) {
  const std::string from = probe.from.empty() ? "unix:" : probe.from;
  if (!unheard_.is_due(from + " " + std::to_string(static_cast<int>(probe.unheard)), now)) return;
  const Field others{"others", std::to_string(unheard_.take_left_out())};
  switch (probe.unheard) {
    case Probe::Unheard::unlisted:
      log_->notice("a load balancer's word is not heard: its address is not listed",
                   {{"address", from}, {"key", "service.balancers"}, others});
      break;
    case Probe::Unheard::secret:
      log_->notice("a load balancer's word is not heard: X-Ratchetd-Probe does not hold the secret",
                   {{"address", from}, {"key", "service.probe_secret"}, others});
      break;
    case Probe::Unheard::forwarded:
      log_->notice("a forwarded X-HAProxy-Server-State is not heard: a client's should be taken away",
                   {{"address", from},
                    {"haproxy", "http-request del-header X-HAProxy-Server-State"},
                    {"key", "service.trusted_proxies and service.balancers, if it is a balancer's"},
                    others});
      break;
    case Probe::Unheard::no:
      break;
  }
}

void Health::set_probe_secret(std::string secret) {
  std::lock_guard lock(mutex_);
  words_.set_secret(std::move(secret));
}

void Health::node_is_done(std::string_view node, std::string_view server) {
  std::lock_guard lock(mutex_);
  probers_.is_done(std::string(node) + " " + std::string(server), time_.now());
}

Health::Balancers Health::balancers(bool settled) const {
  std::lock_guard lock(mutex_);
  return probers_.look(time_.now(), settled);
}

}  // namespace ratchet
