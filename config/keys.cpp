#include "config/keys.hpp"

#include <array>
#include <limits>

namespace ratchet {

namespace {

constexpr std::int64_t kKiB = 1024;
constexpr std::int64_t kMiB = 1024 * kKiB;
constexpr std::int64_t kGiB = 1024 * kMiB;
constexpr std::int64_t kMinute = 60'000;  // in milliseconds
constexpr std::int64_t kHour = 60 * kMinute;

HttpLimits& limits(const Place& p) { return p.settings->service.limits; }
DrainSettings& drain(const Place& p) { return p.settings->service.drain; }
OutboxSettings& outbox(const Place& p) { return p.settings->outbox; }

using Rows = std::vector<Key>;

void top(Rows& t) {
  t.push_back({"", Shape::object, "The configuration of ratchetd."});
  t.push_back({"/$schema",
               Shape::ignored,
               "Where an editor finds the JSON Schema of this file; the daemon ignores it.",
               kLive,
               {},
               {},
               {},
               {},
               "none"});
  t.push_back(
      {"/instance",
       Shape::text,
       "The name of this instance, in logs, metrics, /levels and PostgreSQL's application_name. Each instance has "
       "its own.",
       0,
       [](const Place& p) { return &p.settings->instance; },
       {1, 63},
       {},
       {},
       "the hostname"});
}

void ops(Rows& t) {
  t.push_back({"/ops", Shape::object, "The operators' side: health, metrics, control. Never starved by the service."});
  t.push_back(
      {"/ops/listen", Shape::address,
       "Where /live, /ready, /health, /levels, /alarms, /history, /metrics and /info are served. Taken by somebody "
       "else: an alarm, and a new attempt each second.",
       0, [](const Place& p) { return &p.settings->ops.listen; }});
  t.push_back({"/ops/control",
               Shape::socket_path,
               "The unix socket that ratchetctl talks to.",
               0,
               [](const Place& p) { return &p.settings->ops.control; },
               {1, 107},
               {},
               {},
               "$RUNTIME_DIRECTORY/control.sock, else /run/ratchetd/control.sock"});
  t.push_back({"/ops/connections",
               Shape::integer,
               "Connections to the ops port at the same time; more are answered 503.",
               0,
               [](const Place& p) { return &p.settings->ops.connections; },
               {1, 10'000}});
}

void database(Rows& t) {
  t.push_back({"/database", Shape::object, "PostgreSQL, level 1.", kRequired});
  t.push_back({"/database/pools",
               Shape::map,
               "The pools of connections, by name (this version: exactly one).",
               kRequired,
               {},
               {1, 1}});
  t.push_back({"/database/pools/*", Shape::object,
               "One pool. Its name ([A-Za-z0-9_-], at most 32) is the one in logs and metrics."});
  t.push_back(
      {"/database/pools/*/dsn", Shape::dsn,
       "Where the server is: a libpq connection string or URI. The password belongs into `password`; one written "
       "here works, and raises the alarm secret.inline.",
       kRequired | kSecret, [](const Place& p) { return &p.pool->dsn; }});
  t.push_back({"/database/pools/*/password",
               Shape::secret,
               "The password; read anew for each connection, so a changed one needs no restart.",
               kSecret,
               [](const Place& p) { return &p.pool->password; },
               {},
               {},
               {},
               "none (peer, trust, certificate, ~/.pgpass)"});
  t.push_back({"/database/pools/*/role",
               Shape::word,
               "What the server must be.",
               0,
               {},
               {},
               {"primary"},
               {"replica"},
               "\"primary\""});
  t.push_back({"/database/pools/*/required",
               Shape::only_true,
               "Level 1 is held only with this pool.",
               0,
               {},
               {},
               {},
               {},
               "true"});
  t.push_back({"/database/pools/*/outbox",
               Shape::only_true,
               "Events are kept in this database until Kafka has them.",
               0,
               {},
               {},
               {},
               {},
               "true"});
  t.push_back({"/database/pools/*/size",
               Shape::integer,
               "Connections to the server, all of them: the committers, the relay and the probe included.",
               0,
               [](const Place& p) { return &p.pool->size; },
               {3, 1000}});
  t.push_back({"/database/pools/*/lease_wait_ms",
               Shape::integer,
               "How long a caller waits for a free connection.",
               0,
               [](const Place& p) { return &p.pool->lease_wait; },
               {1, kMinute}});
  t.push_back(
      {"/database/pools/*/statement_timeout_ms",
       Shape::integer,
       "How long a statement may take: PostgreSQL's own timeout, and ours where the server does not answer at all.",
       0,
       [](const Place& p) { return &p.pool->statement; },
       {50, 10 * kMinute}});
  t.push_back({"/database/pools/*/lifetime_s",
               Shape::integer,
               "The age at which a connection is replaced, give or take 20 %.",
               0,
               [](const Place& p) { return &p.pool->lifetime; },
               {1, 86'400}});
  t.push_back({"/database/pools/*/vital", Shape::ignored, "", kLater});
  t.push_back({"/database/pools/*/search_path", Shape::ignored, "", kLater});
}

void outbox_keys(Rows& t) {
  t.push_back({"/outbox", Shape::object, "Events between the 2xx and Kafka."});
  t.push_back(
      {"/outbox/queue_bytes",
       Shape::integer,
       "Events waiting for their commit, in memory. Full: 503, nothing stored. Must hold a body of the largest size.",
       0,
       [](const Place& p) { return &outbox(p).queue_bytes; },
       {64 * kKiB, 16 * kGiB}});
  t.push_back({"/outbox/committers",
               Shape::integer,
               "Commits under way at the same time.",
               0,
               [](const Place& p) { return &outbox(p).committers; },
               {1, 16}});
  t.push_back({"/outbox/max_rows",
               Shape::integer,
               "Unpublished events in the database. More: event routes answer 503.",
               0,
               [](const Place& p) { return &outbox(p).max_rows; },
               {1, 1'000'000'000}});
  t.push_back({"/outbox/max_bytes",
               Shape::integer,
               "Size of the outbox on disk. More: event routes answer 503.",
               0,
               [](const Place& p) { return &outbox(p).max_bytes; },
               {1, 1024 * kGiB}});
  t.push_back({"/outbox/max_age_s",
               Shape::integer,
               "Age of the oldest unpublished event. More: event routes answer 503.",
               0,
               [](const Place& p) { return &outbox(p).max_age; },
               {1, 604'800}});
}

void broker(Rows& t) {
  t.push_back({"/broker", Shape::object, "Kafka, level 2.", kRequired});
  t.push_back({"/broker/bootstrap",
               Shape::list,
               "Brokers to begin with.",
               kRequired,
               [](const Place& p) { return &p.settings->broker.bootstrap; },
               {1, 64}});
  t.push_back({"/broker/bootstrap/*", Shape::endpoint, "One broker."});
  t.push_back({"/broker/properties",
               Shape::map,
               "Properties of librdkafka, passed through. Those that are the daemon's own are refused.",
               0,
               {},
               {0, 200},
               {},
               {},
               "{}"});
  t.push_back(
      {"/broker/properties/*", Shape::property, "One property (\"security.protocol\", \"sasl.password\", ...)."});
  t.push_back({"/broker/on_loss",
               Shape::word,
               "What losing Kafka means: `fall` closes the service port until it is back.",
               0,
               [](const Place& p) { return &p.settings->broker.on_loss; },
               {},
               {"fall"},
               {"ride"}});
  t.push_back({"/broker/max_record_bytes",
               Shape::integer,
               "The largest record (key, headers and value), where the broker does not tell the topic's own limit.",
               0,
               [](const Place& p) { return &p.settings->broker.max_record_bytes; },
               {kKiB, 100 * kMiB}});
  t.push_back({"/broker/vital", Shape::ignored, "", kLater});
}

void service(Rows& t) {
  t.push_back({"/service", Shape::object, "The open port, level 3."});
  t.push_back({"/service/listen", Shape::address, "The service port. Plain HTTP; TLS ends at the load balancer.", 0,
               [](const Place& p) { return &p.settings->service.listen; }});
  t.push_back({"/service/registrars",
               Shape::list,
               "Who else is told that this instance serves. Load balancers that ask /ready need no registrar.",
               0,
               {},
               {0, 16},
               {},
               {},
               "[]"});
  t.push_back({"/service/registrars/*", Shape::object, "One registrar."});
  t.push_back({"/service/registrars/*/type",
               Shape::word,
               "`health`: /ready answers, which it does anyway.",
               kRequired | kDecides,
               {},
               {},
               {"health"},
               {"haproxy-agent", "haproxy-runtime", "exec", "http"}});
  t.push_back({"/service/hold_ms", Shape::ignored, "", kLater});
}

void service_limits(Rows& t) {
  t.push_back({"/service/limits", Shape::object, "What a client may ask for. Each refusal is answered and counted."});
  t.push_back({"/service/limits/request_line_bytes",
               Shape::integer,
               "Method, path and query. Longer: 414.",
               kLive,
               [](const Place& p) { return &limits(p).request_line_bytes; },
               {256, 64 * kKiB}});
  t.push_back({"/service/limits/header_bytes",
               Shape::integer,
               "All headers together. More: 431.",
               kLive,
               [](const Place& p) { return &limits(p).header_bytes; },
               {kKiB, kMiB}});
  t.push_back({"/service/limits/headers",
               Shape::integer,
               "Number of headers. More: 431.",
               kLive,
               [](const Place& p) { return &limits(p).headers; },
               {8, 1000}});
  t.push_back({"/service/limits/body_bytes",
               Shape::integer,
               "A request's body. Larger: 413 before it is read.",
               kLive,
               [](const Place& p) { return &limits(p).body_bytes; },
               {1, 64 * kMiB}});
  t.push_back({"/service/limits/header_wait_ms",
               Shape::integer,
               "From the first byte to the end of the headers. Slower: 408.",
               kLive,
               [](const Place& p) { return &limits(p).header_wait; },
               {100, 10 * kMinute}});
  t.push_back({"/service/limits/body_wait_ms",
               Shape::integer,
               "From the end of the headers to the end of the body. Slower: 408.",
               kLive,
               [](const Place& p) { return &limits(p).body_wait; },
               {100, 10 * kMinute}});
  t.push_back({"/service/limits/idle_ms",
               Shape::integer,
               "How long a connection may wait for its next request. Longer than the balancer's own time for idle "
               "connections to servers, or it sends into a closing one.",
               kLive,
               [](const Place& p) { return &limits(p).idle; },
               {100, kHour}});
  t.push_back({"/service/limits/request_ms",
               Shape::integer,
               "One deadline per request, from the end of its headers; every stage takes what is left of it.",
               kLive,
               [](const Place& p) { return &limits(p).request; },
               {50, 10 * kMinute}});
  t.push_back({"/service/limits/connections",
               Shape::integer,
               "Connections to the service port at the same time. More: 503.",
               kLive,
               [](const Place& p) { return &limits(p).connections; },
               {1, 1'000'000}});
}

void service_drain(Rows& t) {
  t.push_back({"/service/drain", Shape::object, "How the port is left on SIGTERM, a hold and `ratchetctl drain`."});
  t.push_back({"/service/drain/code", Shape::code, "What /ready answers while draining.", 0,
               [](const Place& p) { return &drain(p).code; }});
  t.push_back({"/service/drain/total_ms",
               Shape::integer,
               "The whole way down. Must hold lb_wait (where it is a number), late_ms, requests_ms and flush_ms.",
               0,
               [](const Place& p) { return &drain(p).total; },
               {1000, kHour}});
  t.push_back(
      {"/service/drain/lb_wait",
       Shape::wait,
       "How long to serve on until the balancer sends no more: `auto` watches its probes, `none` does not wait.",
       0,
       [](const Place& p) { return &drain(p).lb_wait; },
       {0, 10 * kMinute},
       {},
       {},
       "\"auto\""});
  t.push_back({"/service/drain/late_ms",
               Shape::integer,
               "For requests that come late on open connections.",
               0,
               [](const Place& p) { return &drain(p).late; },
               {0, kMinute}});
  t.push_back({"/service/drain/requests_ms",
               Shape::integer,
               "For requests under way.",
               0,
               [](const Place& p) { return &drain(p).requests; },
               {0, kHour}});
  t.push_back({"/service/drain/flush_ms",
               Shape::integer,
               "For the relay and the producer.",
               0,
               [](const Place& p) { return &drain(p).flush; },
               {0, 10 * kMinute}});
}

void log(Rows& t) {
  t.push_back({"/log", Shape::object, "Lines on standard error, one per change."});
  t.push_back({"/log/format",
               Shape::word,
               "`text` for people, `json` for collectors.",
               kLive,
               [](const Place& p) { return &p.settings->log.format; },
               {},
               {"text", "json"}});
  t.push_back({"/log/level",
               Shape::word,
               "The least severe lines that are written.",
               kLive,
               [](const Place& p) { return &p.settings->log.level; },
               {3, 7},
               {"error", "warning", "notice", "info", "debug"}});
  t.push_back({"/log/access", Shape::boolean, "One line per request.", kLive,
               [](const Place& p) { return &p.settings->log.access; }});
}

void routes(Rows& t) {
  t.push_back({"/routes", Shape::list, "What is served at level 3.", kRequired | kLive, {}, {1, 1000}});
  t.push_back({"/routes/*", Shape::object, "One route.", kLive});
  t.push_back({"/routes/*/kind",
               Shape::word,
               "`event`: takes events, answers 202 once they are committed.",
               kRequired | kLive | kDecides,
               {},
               {},
               {"event"},
               {"command", "query"}});
  t.push_back({"/routes/*/path",
               Shape::route_path,
               "Where it listens, exactly. /live, /ready and /health are the daemon's own.",
               kRequired | kLive,
               [](const Place& p) { return &p.route->path; },
               {1, 512}});
  t.push_back({"/routes/*/topic",
               Shape::topic,
               "The Kafka topic. It must exist: the daemon creates none.",
               kRequired | kLive,
               [](const Place& p) { return &p.route->topic; },
               {1, 249}});
  t.push_back(
      {"/routes/*/key",
       Shape::reference,
       "The record's key, which decides its partition and so its order: `:body.a.b`, `:header.x`, `:query.x`, or a "
       "constant.",
       kLive,
       [](const Place& p) { return &p.route->key; },
       {},
       {},
       {},
       "none (no order among events)"});
  t.push_back({"/routes/*/type",
               Shape::text,
               "ce_type of events that bring none.",
               kLive,
               [](const Place& p) { return &p.route->type; },
               {1, 255},
               {},
               {},
               "the topic"});
  t.push_back({"/routes/*/source",
               Shape::text,
               "ce_source of events that bring none.",
               kLive,
               [](const Place& p) { return &p.route->source; },
               {1, 255},
               {},
               {},
               "/ratchetd and the path"});
  t.push_back({"/routes/*/enabled", Shape::boolean, "false: answers 503 and is alarmed. The kill switch.", kLive,
               [](const Place& p) { return &p.route->enabled; }});
  t.push_back({"/routes/*/max_in_flight",
               Shape::integer,
               "Requests of this route at the same time; more are answered 503. 0: only the daemon's own limits.",
               kLive,
               [](const Place& p) { return &p.route->max_in_flight; },
               {0, 1'000'000}});
  for (const std::string_view later :
       {"/routes/*/auth", "/routes/*/sql", "/routes/*/emit", "/routes/*/single", "/routes/*/pool", "/routes/*/pools",
        "/routes/*/role", "/routes/*/method", "/routes/*/status", "/routes/*/id", "/routes/*/data",
        "/routes/*/idempotency", "/routes/*/timeout_ms", "/routes/*/max_rows", "/routes/*/rate", "/routes/*/breaker",
        "/idempotency", "/statsd", "/log/sink"}) {
    t.push_back({later, Shape::ignored, "", kLater});
  }
}

constexpr std::array kOwned = {
    OwnedProperty{"bootstrap.servers", "it is broker.bootstrap"},
    OwnedProperty{"metadata.broker.list", "it is broker.bootstrap"},
    OwnedProperty{"message.max.bytes", "it is broker.max_record_bytes, or the topic's own limit"},
    OwnedProperty{"enable.idempotence", "the daemon's promise needs it on"},
    OwnedProperty{"enable.gapless.guarantee", "the daemon orders events itself"},
    OwnedProperty{"acks", "the daemon's promise needs \"all\""},
    OwnedProperty{"request.required.acks", "the daemon's promise needs \"all\""},
    OwnedProperty{"max.in.flight", "idempotence decides it"},
    OwnedProperty{"max.in.flight.requests.per.connection", "idempotence decides it"},
    OwnedProperty{"retries", "idempotence decides it"},
    OwnedProperty{"message.send.max.retries", "idempotence decides it"},
    OwnedProperty{"queuing.strategy", "idempotence decides it"},
    OwnedProperty{"partitioner", "\"murmur2_random\", so that keys land where those of Java clients do"},
    OwnedProperty{"message.timeout.ms", "the relay decides when a record is late"},
    OwnedProperty{"delivery.timeout.ms", "the relay decides when a record is late"},
    OwnedProperty{"allow.auto.create.topics", "the daemon never creates topics"},
    OwnedProperty{"transactional.id", "the producer uses no transactions"},
    OwnedProperty{"transaction.timeout.ms", "the producer uses no transactions"},
    OwnedProperty{"enabled_events", "the daemon asks for the events it needs"},
    OwnedProperty{"statistics.interval.ms", "the daemon counts for itself"},
    OwnedProperty{"log.queue", "the daemon writes the log lines"},
    OwnedProperty{"test.mock.num.brokers", "a broker inside the client keeps nothing"},
};

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::string either(const std::vector<std::string_view>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += quoted(words[i]);
  }
  return out;
}

std::string later(const std::vector<std::string_view>& words) {
  if (words.empty()) return "";
  return " (not supported by this version: " + either(words) + ")";
}

std::string from_to(const Range& range) { return std::to_string(range.least) + ".." + std::to_string(range.most); }

std::string counted(const Range& range, std::string_view one, std::string_view many) {
  if (range.least == range.most)
    return "exactly " + std::to_string(range.least) + " " + std::string(range.least == 1 ? one : many);
  return from_to(range) + " " + std::string(many);
}

}  // namespace

std::vector<Key> all_keys() {
  Rows rows;
  for (const auto section :
       {top, ops, database, outbox_keys, broker, service, service_limits, service_drain, log, routes}) {
    section(rows);
  }
  return rows;
}

std::string_view leaf(std::string_view pointer) noexcept { return pointer.substr(pointer.rfind('/') + 1); }

std::string_view parent(std::string_view pointer) noexcept { return pointer.substr(0, pointer.rfind('/')); }

std::string_view unit(const Key& key) noexcept {
  const std::string_view name = leaf(key.pointer);
  if (name.ends_with("_ms")) return "milliseconds";
  if (name.ends_with("_s")) return "seconds";
  if (name.ends_with("_bytes")) return "bytes";
  return "";
}

std::string expected(const Key& key) {
  if (key.is(kLater)) return "no such key (it is not supported by this version)";
  switch (key.shape) {
    case Shape::object:
      return "object";
    case Shape::map:
      return "object with " + counted(key.range, "member", "members") +
             (key.range.most == 1 ? " (more are not supported by this version)" : "");
    case Shape::list:
      return "list of " + counted(key.range, "element", "elements");
    case Shape::integer:
      return "integer " + from_to(key.range);
    case Shape::boolean:
      return "true or false";
    case Shape::only_true:
      return "true (false is not supported by this version)";
    case Shape::word:
      return either(key.words) + later(key.later_words);
    case Shape::code:
      return "503 or 404";
    case Shape::wait:
      return "\"auto\", \"none\" or milliseconds " + from_to(key.range);
    case Shape::text:
      return "string of " + from_to(key.range) + " printable ASCII characters without spaces";
    case Shape::socket_path:
      return "absolute path of at most " + std::to_string(key.range.most) + " bytes";
    case Shape::dsn:
      return "PostgreSQL connection string or URI";
    case Shape::secret:
      return "{\"credential\": NAME}, {\"file\": PATH}, {\"env\": NAME} or a string";
    case Shape::property:
      return "string, {\"credential\": NAME}, {\"file\": PATH} or {\"env\": NAME}";
    case Shape::address:
      return "numeric address and port (\"127.0.0.1:8080\", \"[::1]:8080\")";
    case Shape::endpoint:
      return "host:port";
    case Shape::route_path:
      return "path: '/' and then [A-Za-z0-9/._~-], at most " + std::to_string(key.range.most) + " bytes";
    case Shape::topic:
      return "Kafka topic: [A-Za-z0-9._-], at most " + std::to_string(key.range.most) + " characters";
    case Shape::reference:
      return ":body.NAME, :header.NAME, :query.NAME or a constant";
    case Shape::ignored:
      return "string";
  }
  return {};
}

namespace {

// What a fresh Settings holds, as JSON.
struct Shown {
  const Place& place;
  const Key& key;

  std::string word(std::int64_t value) const {
    return quoted(key.words.at(static_cast<std::size_t>(value - key.range.least)));
  }
  std::string operator()(std::monostate) const { return ""; }
  std::string operator()(FieldOf<int> at) const {
    return key.shape == Shape::word ? word(*at(place)) : std::to_string(*at(place));
  }
  std::string operator()(FieldOf<std::size_t> at) const { return std::to_string(*at(place)); }
  std::string operator()(FieldOf<milliseconds> at) const { return std::to_string(at(place)->count()); }
  std::string operator()(FieldOf<seconds> at) const { return std::to_string(at(place)->count()); }
  std::string operator()(FieldOf<bool> at) const { return *at(place) ? "true" : "false"; }
  std::string operator()(FieldOf<std::string> at) const { return at(place)->empty() ? "" : quoted(*at(place)); }
  std::string operator()(FieldOf<std::optional<Secret>>) const { return ""; }
  std::string operator()(FieldOf<ListenAddress> at) const { return quoted(to_string(*at(place))); }
  std::string operator()(FieldOf<std::optional<milliseconds>>) const { return ""; }
  std::string operator()(FieldOf<std::optional<Reference>>) const { return ""; }
  std::string operator()(FieldOf<std::vector<std::string>>) const { return ""; }
  std::string operator()(FieldOf<OnLoss> at) const { return word(static_cast<std::int64_t>(*at(place))); }
  std::string operator()(FieldOf<LogFormat> at) const { return word(static_cast<std::int64_t>(*at(place))); }
};

}  // namespace

std::string default_text(const Key& key) {
  if (!key.default_words.empty()) return std::string(key.default_words);
  Settings settings;
  PoolSettings pool;
  EventRoute route;
  return std::visit(Shown{{&settings, &pool, &route}, key}, key.field);
}

std::span<const OwnedProperty> owned_properties() noexcept { return kOwned; }

}  // namespace ratchet
