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
constexpr Duration kFirstGuess = seconds(5);   // a prober's interval before its second probe; HAProxy's default is 2 s
constexpr Duration kLeastBelief = seconds(2);  // a hiccup of a prober that asks many times a second is no silence
constexpr Duration kLongestInterval = seconds(60);
constexpr std::size_t kMostProbers = 64;
constexpr std::size_t kMostKeyBytes = 256;
constexpr int kRetryUnderHold = 30;

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

// "0", "0/22": HAProxy writes ours/all.
bool begins_with_zero(std::string_view number) noexcept { return number.substr(0, number.find('/')) == "0"; }

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

std::optional<HaproxyState> parse_haproxy_state(std::string_view header) {
  HaproxyState state;
  std::string_view name, node;
  const std::string_view word = header.substr(0, header.find_first_of("; \t"));
  state.stopped = word == "NOLB" || word == "DOWN";
  while (!header.empty()) {
    const std::size_t end = std::min(header.find(';'), header.size());
    const std::string_view part = trimmed(header.substr(0, end));
    header.remove_prefix(std::min(end + 1, header.size()));
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = part.substr(0, equals);
    const std::string_view value = part.substr(equals + 1);
    if (key == "name") name = value;
    if (key == "node") node = value;
    if (key == "weight" && begins_with_zero(value)) state.stopped = true;
    if (key == "scur") state.idle = begins_with_zero(value);
  }
  if (name.empty() || node.empty() || name.size() + node.size() >= kMostKeyBytes) return std::nullopt;
  state.key.append(node).append(" ").append(name);
  return state;
}

Health::Health(const StatusBoard& board, const TimeSource& time, int drain_code)
    : board_(board), time_(time), drain_code_(drain_code) {}

// A probe says what its node thought before our answer to it. What one said before we began to refuse may be undone by
// that very answer (DOWN, answered 200: UP), so only what is said from now on counts.
void Health::set_draining(bool draining) noexcept {
  const bool before = draining_.exchange(draining);
  if (!draining || before) return;
  std::lock_guard lock(mutex_);
  for (auto& [key, seen] : probers_)
    seen.stopped = seen.idle = false;
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
    note_probe(request);
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

void Health::note_probe(const http::Request& request) {
  std::optional<HaproxyState> said;
  if (const auto header = request.head.header("x-haproxy-server-state")) said = parse_haproxy_state(*header);
  note(said ? said->key : std::string(request.peer), said);
}

void Health::note(const std::string& key, const std::optional<HaproxyState>& said) {
  const TimePoint now = time_.now();
  std::lock_guard lock(mutex_);
  last_probe_ = now;
  auto at = probers_.find(key);
  if (at == probers_.end()) {
    if (probers_.size() >= kMostProbers)
      std::erase_if(probers_, [now](const auto& p) { return !p.second.is_live(now); });
    if (probers_.size() >= kMostProbers) {
      if (said) too_many_at_ = now;
      return;
    }
    at = probers_.emplace(key, Seen{}).first;
  } else if (const Duration gap = now - at->second.at; gap <= kLongestInterval) {
    // HAProxy probes faster while a state changes: forget a longer interval slowly, or it would seem gone afterwards.
    const Duration before = at->second.interval.value_or(Duration::zero());
    at->second.interval = std::max(gap, before - before / 4);
  }
  at->second.speaks = said.has_value();
  at->second.stopped = said && said->stopped;
  at->second.idle = said && said->idle;
  at->second.at = now;
}

void Health::node_is_done(std::string_view node, std::string_view server) {
  std::lock_guard lock(mutex_);
  const auto at = probers_.find(std::string(node) + " " + std::string(server));
  if (at == probers_.end()) return;
  at->second.stopped = at->second.idle = true;
  at->second.at = time_.now();
}

bool Health::Seen::is_live(TimePoint now) const noexcept {
  return now - at <= std::max(kLeastBelief, 3 * interval.value_or(kFirstGuess));
}

Health::Balancers Health::balancers() const {
  const TimePoint now = time_.now();
  std::lock_guard lock(mutex_);
  Balancers all;
  all.last_probe = last_probe_;
  bool stopped = true, idle = true;
  for (const auto& [key, seen] : probers_) {
    // An interval outlives its prober: who has just been told that we leave may have stopped asking.
    if (seen.interval && now - seen.at <= kLongestInterval) all.interval = std::max(seen.interval, all.interval);
    if (!seen.is_live(now)) continue;
    if (!seen.speaks) continue;
    ++all.nodes;
    stopped = stopped && seen.stopped;
    idle = idle && seen.idle;
  }
  if (too_many_at_ && now - *too_many_at_ <= kLongestInterval) stopped = false;
  all.all_stopped = all.nodes > 0 && stopped;
  all.all_idle = all.all_stopped && idle;
  return all;
}

}  // namespace ratchet
