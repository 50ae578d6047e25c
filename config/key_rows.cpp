#include <array>

#include "config/keys.hpp"

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

// One row, told piece by piece.
class Row {
 public:
  explicit Row(Key& key) : key_(key) {}
  Row& at(Field field) {
    key_.field = field;
    return *this;
  }
  Row& in(std::int64_t least, std::int64_t most) {
    key_.range = {least, most};
    return *this;
  }
  Row& one_of(std::vector<std::string_view> words) {
    key_.words = std::move(words);
    return *this;
  }
  Row& later(std::vector<std::string_view> words) {
    key_.later_words = std::move(words);
    return *this;
  }
  Row& otherwise(std::string_view words) {
    key_.default_words = words;
    return *this;
  }

 private:
  Key& key_;
};

class Rows {
 public:
  Row add(std::string_view pointer, Shape shape, std::string_view doc, unsigned flags = 0) {
    Key key{pointer};
    key.shape = shape;
    key.doc = doc;
    key.flags = flags;
    keys_.push_back(std::move(key));
    return Row(keys_.back());
  }
  std::vector<Key> take() { return std::move(keys_); }

 private:
  std::vector<Key> keys_;
};

void top(Rows& t) {
  t.add("", Shape::object, "The configuration of ratchetd.");
  t.add("/$schema", Shape::ignored, "Where an editor finds the JSON Schema of this file; the daemon ignores it.", kLive)
      .otherwise("none");
  t.add("/instance", Shape::text,
        "The name of this instance, in logs, metrics, /levels and PostgreSQL's application_name. Each instance has "
        "its own.")
      .at([](const Place& p) { return &p.settings->instance; })
      .in(1, 63)
      .otherwise("the hostname");
}

void ops(Rows& t) {
  t.add("/ops", Shape::object, "The operators' side: health, metrics, control. Never starved by the service.");
  t.add("/ops/listen", Shape::address,
        "Where /live, /ready, /health, /levels, /alarms, /history, /metrics and /info are served. Taken by somebody "
        "else: an alarm, and a new attempt each second.")
      .at([](const Place& p) { return &p.settings->ops.listen; });
  t.add("/ops/control", Shape::socket_path, "The unix socket that ratchetctl talks to.")
      .at([](const Place& p) { return &p.settings->ops.control; })
      .in(1, 107)
      .otherwise("$RUNTIME_DIRECTORY/control.sock, else /run/ratchetd/control.sock");
  t.add("/ops/connections", Shape::integer, "Connections to the ops port at the same time; at the limit idle ones are given up for those that ask.")
      .at([](const Place& p) { return &p.settings->ops.connections; })
      .in(1, 10'000);
}

void database(Rows& t) {
  t.add("/database", Shape::object, "PostgreSQL, level 1.", kRequired);
  t.add("/database/pools", Shape::map, "The pools of connections, by name.", kRequired).in(1, 16);
  t.add("/database/pools/*", Shape::object,
        "One pool. Its name ([A-Za-z0-9_-], at most 32) is the one in logs and metrics.");
  t.add("/database/pools/*/dsn", Shape::dsn,
        "Where the server is: a libpq connection string or URI. The password belongs into `password`; one written "
        "here works, and raises the alarm secret.inline.",
        kRequired | kSecret)
      .at([](const Place& p) { return &p.pool->dsn; });
  t.add("/database/pools/*/password", Shape::secret,
        "The password; read anew for each connection, so a changed one needs no restart.", kSecret)
      .at([](const Place& p) { return &p.pool->password; })
      .otherwise("none (peer, trust, certificate, ~/.pgpass)");
  t.add("/database/pools/*/role", Shape::word,
        "What the server must be: `primary` takes writes, `replica` is a standby.")
      .at([](const Place& p) { return &p.pool->role; })
      .one_of({"primary", "replica"});
  t.add("/database/pools/*/required", Shape::boolean,
        "Level 1 is held only with this pool. One that is not required climbs by itself: its cluster may not even "
        "exist yet, and is found within seconds of its birth. At least one pool is required.")
      .at([](const Place& p) { return &p.pool->required; });
  t.add("/database/pools/*/outbox", Shape::boolean,
        "Events are kept in this database until Kafka has them. Event routes need at least one such pool.")
      .at([](const Place& p) { return &p.pool->outbox; })
      .otherwise("true for the only primary pool; where there are several it must be written");
  t.add("/database/pools/*/size", Shape::integer,
        "Connections to the server, all of them: the committers, the relay and the probe included.")
      .at([](const Place& p) { return &p.pool->size; })
      .in(3, 1000);
  t.add("/database/pools/*/lease_wait_ms", Shape::integer, "How long a caller waits for a free connection.")
      .at([](const Place& p) { return &p.pool->lease_wait; })
      .in(1, kMinute);
  t.add("/database/pools/*/statement_timeout_ms", Shape::integer,
        "How long a statement may take: PostgreSQL's own timeout, and ours where the server does not answer at all.")
      .at([](const Place& p) { return &p.pool->statement; })
      .in(50, 10 * kMinute);
  t.add("/database/pools/*/lifetime_s", Shape::integer, "The age at which a connection is replaced, give or take 20 %.")
      .at([](const Place& p) { return &p.pool->lifetime; })
      .in(1, 86'400);
  t.add("/database/pools/*/vital", Shape::object, "Whether the process may exit because of this database.");
  t.add("/database/pools/*/vital/exit_after_s", Shape::integer,
        "Missed for so long, while nothing below is, the process leaves in order with exit code 75, to be started anew "
        "or elsewhere. 0: never; it goes on trying.")
      .at([](const Place& p) { return &p.pool->vital; })
      .in(0, 604'800);
  t.add("/database/pools/*/search_path", Shape::ignored, "", kLater);
}

void outbox_keys(Rows& t) {
  t.add("/outbox", Shape::object, "Events between the 2xx and Kafka.");
  t.add("/outbox/queue_bytes", Shape::integer,
        "Events waiting for their commit, in memory. Full: 503, nothing stored. Must hold a body of the largest size.")
      .at([](const Place& p) { return &outbox(p).queue_bytes; })
      .in(64 * kKiB, 16 * kGiB);
  t.add("/outbox/committers", Shape::integer, "Commits under way at the same time.")
      .at([](const Place& p) { return &outbox(p).committers; })
      .in(1, 16);
  t.add("/outbox/max_rows", Shape::integer, "Unpublished events in the database. More: event routes answer 503.")
      .at([](const Place& p) { return &outbox(p).max_rows; })
      .in(1, 1'000'000'000);
  t.add("/outbox/max_bytes", Shape::integer, "Size of the outbox on disk. More: event routes answer 503.")
      .at([](const Place& p) { return &outbox(p).max_bytes; })
      .in(1, 1024 * kGiB);
  t.add("/outbox/max_age_s", Shape::integer, "Age of the oldest unpublished event. More: event routes answer 503.")
      .at([](const Place& p) { return &outbox(p).max_age; })
      .in(1, 604'800);
}

void broker(Rows& t) {
  t.add("/broker", Shape::object, "Kafka, level 2.", kRequired);
  t.add("/broker/bootstrap", Shape::list, "Brokers to begin with.", kRequired)
      .at([](const Place& p) { return &p.settings->broker.bootstrap; })
      .in(1, 64);
  t.add("/broker/bootstrap/*", Shape::endpoint, "One broker.");
  t.add("/broker/properties", Shape::map,
        "Properties of librdkafka, passed through. Those that are the daemon's own are refused.")
      .in(0, 200)
      .otherwise("{}");
  t.add("/broker/properties/*", Shape::property, "One property (\"security.protocol\", \"sasl.password\", ...).");
  t.add("/broker/on_loss", Shape::word, "What losing Kafka means: `fall` closes the service port until it is back; `ride` goes on taking events until the "
        "outbox is over its budget (a start still needs Kafka).")
      .at([](const Place& p) { return &p.settings->broker.on_loss; })
      .one_of({"fall", "ride"});
  t.add("/broker/max_record_bytes", Shape::integer,
        "The largest record (key, headers and value), where the broker does not tell the topic's own limit.")
      .at([](const Place& p) { return &p.settings->broker.max_record_bytes; })
      .in(kKiB, 100 * kMiB);
  t.add("/broker/vital", Shape::object, "Whether the process may exit because of Kafka.");
  t.add("/broker/vital/exit_after_s", Shape::integer,
        "Missed for so long, while the database is not, the process leaves in order with exit code 75. 0: never.")
      .at([](const Place& p) { return &p.settings->broker.vital; })
      .in(0, 604'800);
}

void service(Rows& t) {
  t.add("/service", Shape::object, "The open port, level 3.");
  t.add("/service/listen", Shape::listen,
        "The service port, or the unix socket of a balancer on the same machine (mode 0660; a file that nobody listens "
        "on is replaced). Plain HTTP; TLS ends at the load balancer.")
      .at([](const Place& p) { return &p.settings->service.listen; });
  t.add("/service/proxy_protocol", Shape::boolean,
        "true: every connection begins with a PROXY header (version 1 or 2), which tells the client's address; one "
        "without is closed. Whoever reaches the port can then claim any address: let only the balancer reach it.")
      .at([](const Place& p) { return &p.settings->service.proxy_protocol; });
  t.add("/service/trusted_proxies", Shape::list,
        "Proxies whose X-Forwarded-For or Forwarded is believed when it tells the client's address, for the log. The "
        "last address that is not one of theirs counts. Where both headers came and differ, neither is believed.")
      .at([](const Place& p) { return &p.settings->service.trusted_proxies; })
      .in(0, 64)
      .otherwise("[]");
  t.add("/service/trusted_proxies/*", Shape::network, "One proxy, or a network of them; \"unix:\" is the unix socket.");
  t.add("/service/balancers", Shape::list,
        "Who is a load balancer: whose X-HAProxy-Server-State is believed, in requests that nobody forwarded, and for "
        "whose agent-check a drain waits. Anybody else may ask /ready, and is waited for by how often he asks.")
      .at([](const Place& p) { return &p.settings->service.balancers; })
      .in(0, 64)
      .otherwise("loopback, service.listen's unix socket, and service.trusted_proxies");
  t.add("/service/balancers/*", Shape::network, "One balancer, or a network of them; \"unix:\" is the unix socket.");
  t.add("/service/probe_secret", Shape::secret,
        "Where it is set, X-HAProxy-Server-State is believed only beside a header X-Ratchetd-Probe that holds this "
        "(HAProxy: http-check send meth GET uri /ready hdr X-Ratchetd-Probe ...). For where others come from a "
        "balancer's address, too: users of its machine, a proxy that forwards bytes. Read anew every 10 s.",
        kSecret)
      .at([](const Place& p) { return &p.settings->service.probe_secret; })
      .otherwise("none");
  t.add("/service/registrars", Shape::list,
        "Who else is told that this instance serves. Load balancers that ask /ready need no registrar.")
      .in(0, 16)
      .otherwise("[]");
  t.add("/service/hold_ms", Shape::integer,
        "After a restart the port has stayed open, and clients wait in it: so long for level 3, then they are told 503 "
        "and the port is closed until level 3 is held.")
      .at([](const Place& p) { return &p.settings->service.hold; })
      .in(0, kMinute);
}

void registrars(Rows& t) {
  t.add("/service/registrars/*", Shape::object, "One registrar.");
  t.add("/service/registrars/*/type", Shape::word,
        "`health`: /ready answers, which it does anyway. `haproxy-agent`: answers HAProxy's agent-check. "
        "`haproxy-runtime`: sets our server's state by HAProxy's runtime API. `http`: requests of your own making "
        "(Consul, a sidecar). `exec`: a program of yours.",
        kRequired | kDecides)
      .at([](const Place& p) { return &p.registrar->type; })
      .one_of({"health", "haproxy-agent", "haproxy-runtime", "http", "exec"});
  t.add("/service/registrars/*/name", Shape::text, "Its name in the log, in metrics and in the alarm registrar.NAME.")
      .at([](const Place& p) { return &p.registrar->name; })
      .in(1, 32)
      .otherwise("the type");
  t.add("/service/registrars/*/timeout_ms", Shape::integer, "How long one try may take.")
      .at([](const Place& p) { return &p.registrar->timeout; })
      .in(100, kMinute);
  t.add("/service/registrars/*/heartbeat_ms", Shape::integer,
        "How often we register anew, so that a balancer that was restarted and has forgotten us is told again.")
      .at([](const Place& p) { return &p.registrar->heartbeat; })
      .in(100, kHour);
  t.add("/service/registrars/*/deregister_ms", Shape::integer,
        "For all tries of the way out. Then it is alarmed, and we leave all the same.")
      .at([](const Place& p) { return &p.registrar->deregister; })
      .in(100, 10'000);
  t.add("/service/registrars/*/address", Shape::address,
        "Where balancers reach this instance: {host} and {port}, RATCHET_ADDR and RATCHET_PORT.")
      .at([](const Place& p) { return &p.registrar->address; })
      .otherwise("service.listen");
  t.add("/service/registrars/*/listen", Shape::address, "haproxy-agent: where HAProxy's agent-check connects to.")
      .at([](const Place& p) { return &p.registrar->listen; })
      .otherwise("none; needed by haproxy-agent");
  t.add("/service/registrars/*/sockets", Shape::list,
        "haproxy-runtime: the runtime sockets (level admin) of all HAProxy processes.")
      .at([](const Place& p) { return &p.registrar->sockets; })
      .in(1, 64)
      .otherwise("none; needed by haproxy-runtime");
  t.add("/service/registrars/*/sockets/*", Shape::control_point, "One runtime socket.");
  t.add("/service/registrars/*/server", Shape::text, "haproxy-runtime: what HAProxy calls us, \"backend/server\".")
      .at([](const Place& p) { return &p.registrar->server; })
      .in(3, 255)
      .otherwise("none; needed by haproxy-runtime");
}

void http_registrars(Rows& t) {
  t.add("/service/registrars/*/requests", Shape::map,
        "http: the request of each verb: `register` and `deregister`, and where they are wanted `drain` (before "
        "deregister), `status` (between them: ok once no more requests come) and `heartbeat` (else: register).")
      .in(1, 5)
      .otherwise("none; needed by http");
  t.add("/service/registrars/*/requests/*", Shape::object, "The request of one verb.");
  t.add("/service/registrars/*/requests/*/method", Shape::word, "Its method.")
      .at([](const Place& p) { return &p.request->method; })
      .one_of({"GET", "PUT", "POST", "PATCH", "DELETE"});
  t.add("/service/registrars/*/requests/*/url", Shape::phrase, "http:// or https://, the certificate being verified.",
        kRequired)
      .at([](const Place& p) { return &p.request->url; })
      .in(8, 2048);
  t.add("/service/registrars/*/requests/*/headers", Shape::map, "Its headers, by name.")
      .at([](const Place& p) { return &p.request->headers; })
      .in(0, 32)
      .otherwise("{}");
  t.add("/service/registrars/*/requests/*/headers/*", Shape::phrase, "One header's value.").in(0, 8 * kKiB);
  t.add("/service/registrars/*/requests/*/body", Shape::phrase, "Its body.")
      .at([](const Place& p) { return &p.request->body; })
      .in(0, 64 * kKiB)
      .otherwise("none");
  t.add("/service/registrars/*/requests/*/ok", Shape::list, "Status codes that mean success.")
      .at([](const Place& p) { return &p.request->ok; })
      .in(0, 32)
      .otherwise("any 2xx");
  t.add("/service/registrars/*/requests/*/ok/*", Shape::status_code, "One code.");
  t.add("/service/registrars/*/requests/*/done", Shape::list,
        "Status codes that mean: that was so already (a 404 to deregister, a 409 to register). As good as success.")
      .at([](const Place& p) { return &p.request->done; })
      .in(0, 32)
      .otherwise("[]");
  t.add("/service/registrars/*/requests/*/done/*", Shape::status_code, "One code.");
  t.add("/service/registrars/*/secrets", Shape::map, "http: secrets for {secret:NAME}, read anew for each request.")
      .at([](const Place& p) { return &p.registrar->secrets; })
      .in(0, 32)
      .otherwise("{}");
  t.add("/service/registrars/*/secrets/*", Shape::secret, "One secret.", kSecret).otherwise("none");
  t.add("/service/registrars/*/ca_file", Shape::socket_path, "http: certificates (PEM) that https servers must lead to.")
      .at([](const Place& p) { return &p.registrar->ca_file; })
      .in(1, 4096)
      .otherwise("the system's");
  t.add("/service/registrars/*/argv", Shape::list,
        "exec: the program (absolute path) and its arguments; no shell. It is told by RATCHET_VERB (register, drain, "
        "status, deregister, heartbeat), RATCHET_ID, RATCHET_ADDR, RATCHET_PORT and RATCHET_LEVEL, and says 0: done, "
        "75: try again, else: failed.")
      .at([](const Place& p) { return &p.registrar->argv; })
      .in(1, 64)
      .otherwise("none; needed by exec");
  t.add("/service/registrars/*/argv/*", Shape::argument, "The program, or one argument.").in(0, 4096);
}

void service_limits(Rows& t) {
  t.add("/service/limits", Shape::object, "What a client may ask for. Each refusal is answered and counted.");
  t.add("/service/limits/request_line_bytes", Shape::integer, "Method, path and query. Longer: 414.", kLive)
      .at([](const Place& p) { return &limits(p).request_line_bytes; })
      .in(256, 64 * kKiB);
  t.add("/service/limits/header_bytes", Shape::integer, "All headers together. More: 431.", kLive)
      .at([](const Place& p) { return &limits(p).header_bytes; })
      .in(kKiB, kMiB);
  t.add("/service/limits/headers", Shape::integer, "Number of headers. More: 431.", kLive)
      .at([](const Place& p) { return &limits(p).headers; })
      .in(8, 1000);
  t.add("/service/limits/body_bytes", Shape::integer, "A request's body. Larger: 413 before it is read.", kLive)
      .at([](const Place& p) { return &limits(p).body_bytes; })
      .in(1, 64 * kMiB);
  t.add("/service/limits/json_object_members", Shape::integer, "Members of one object in a JSON body. More: 413.",
        kLive)
      .at([](const Place& p) { return &limits(p).json.object_members; })
      .in(1, 1'000'000);
  t.add("/service/limits/json_members", Shape::integer, "Members of all objects in a JSON body together. More: 413.",
        kLive)
      .at([](const Place& p) { return &limits(p).json.members; })
      .in(1, 10'000'000);
  t.add("/service/limits/header_wait_ms", Shape::integer, "From the first byte to the end of the headers. Slower: 408.",
        kLive)
      .at([](const Place& p) { return &limits(p).header_wait; })
      .in(100, 10 * kMinute);
  t.add("/service/limits/body_wait_ms", Shape::integer,
        "From the end of the headers to the end of the body. Slower: 408.", kLive)
      .at([](const Place& p) { return &limits(p).body_wait; })
      .in(100, 10 * kMinute);
  t.add("/service/limits/idle_ms", Shape::integer,
        "How long a connection may wait for its next request. Longer than the balancer's own time for idle "
        "connections to servers, or it sends into a closing one.",
        kLive)
      .at([](const Place& p) { return &limits(p).idle; })
      .in(100, kHour);
  t.add("/service/limits/request_ms", Shape::integer,
        "One deadline per request, from the end of its headers; every stage takes what is left of it.", kLive)
      .at([](const Place& p) { return &limits(p).request; })
      .in(50, 10 * kMinute);
  t.add("/service/limits/connections", Shape::integer,
        "Connections to the service port at the same time. At the limit idle ones are given up for those that ask, "
        "silent ones first; while there are none: 503, but for /live, /ready and /health.",
        kLive)
      .at([](const Place& p) { return &limits(p).connections; })
      .in(1, 1'000'000);
  t.add("/service/limits/connections_per_address", Shape::integer,
        "Of these, from one address (an IPv6 /64 is one). More: 429. 0: no limit. A balancer's connections come from "
        "its address: name it in trusted_proxies, which have no such limit, nor has a unix socket.",
        kLive)
      .at([](const Place& p) { return &limits(p).connections_per_address; })
      .in(0, 1'000'000);
  t.add("/service/limits/buffer_bytes", Shape::integer,
        "What all connections together may hold of unfinished requests and answers. More: 503, the slowest first.", kLive)
      .at([](const Place& p) { return &limits(p).buffer_bytes; })
      .in(256 * kKiB, 64 * 1024 * kMiB);
}

void service_drain(Rows& t) {
  t.add("/service/drain", Shape::object, "How the port is left on SIGTERM, a hold and `ratchetctl drain`.");
  t.add("/service/drain/code", Shape::code, "What /ready answers while draining.").at([](const Place& p) {
    return &drain(p).code;
  });
  t.add("/service/drain/total_ms", Shape::integer,
        "The whole way down. Must hold lb_wait (where it is a number), late_ms, requests_ms and flush_ms.")
      .at([](const Place& p) { return &drain(p).total; })
      .in(1000, kHour);
  t.add("/service/drain/lb_wait", Shape::wait,
        "How long to serve on until the balancer sends no more: `auto` watches its probes, `none` does not wait.")
      .at([](const Place& p) { return &drain(p).lb_wait; })
      .in(0, 10 * kMinute)
      .otherwise("\"auto\"");
  t.add("/service/drain/late_ms", Shape::integer, "For requests that come late on open connections.")
      .at([](const Place& p) { return &drain(p).late; })
      .in(0, kMinute);
  t.add("/service/drain/requests_ms", Shape::integer, "For requests under way.")
      .at([](const Place& p) { return &drain(p).requests; })
      .in(0, kHour);
  t.add("/service/drain/flush_ms", Shape::integer, "For the relay and the producer.")
      .at([](const Place& p) { return &drain(p).flush; })
      .in(0, 10 * kMinute);
}

void log(Rows& t) {
  t.add("/log", Shape::object, "Lines on standard error, one per change.");
  t.add("/log/format", Shape::word, "`text` for people, `json` for collectors.", kLive)
      .at([](const Place& p) { return &p.settings->log.format; })
      .one_of({"text", "json"});
  t.add("/log/level", Shape::word, "The least severe lines that are written.", kLive)
      .at([](const Place& p) { return &p.settings->log.level; })
      .in(3, 7)
      .one_of({"error", "warning", "notice", "info", "debug"});
  t.add("/log/access", Shape::boolean, "One line per request.", kLive).at([](const Place& p) {
    return &p.settings->log.access;
  });
}

void routes(Rows& t) {
  t.add("/routes", Shape::list, "What is served at level 3.", kRequired | kLive).in(1, 1000);
  t.add("/routes/*", Shape::object, "One route.", kLive);
  t.add("/routes/*/kind", Shape::word, "`event`: takes events, answers 202 once they are committed.",
        kRequired | kLive | kDecides)
      .one_of({"event"})
      .later({"command", "query"});
  t.add("/routes/*/path", Shape::route_path,
        "Where it listens, exactly. /live, /ready and /health are the daemon's own.", kRequired | kLive)
      .at([](const Place& p) { return &p.route->path; })
      .in(1, 512);
  t.add("/routes/*/topic", Shape::topic, "The Kafka topic. It must exist: the daemon creates none.", kRequired | kLive)
      .at([](const Place& p) { return &p.route->topic; })
      .in(1, 249);
  t.add("/routes/*/key", Shape::reference,
        "The record's key, which decides its partition and so its order: `:body.a.b`, `:header.x`, `:query.x`, or a "
        "constant.",
        kLive)
      .at([](const Place& p) { return &p.route->key; })
      .otherwise("none (no order among events)");
  t.add("/routes/*/type", Shape::text, "ce_type of events that bring none.", kLive)
      .at([](const Place& p) { return &p.route->type; })
      .in(1, 255)
      .otherwise("the topic");
  t.add("/routes/*/source", Shape::text, "ce_source of events that bring none.", kLive)
      .at([](const Place& p) { return &p.route->source; })
      .in(1, 255)
      .otherwise("/ratchetd and the path");
  t.add("/routes/*/pool", Shape::pool_names,
        "Where its events are kept: an outbox pool, or several in order of preference, of which the first that is "
        "connected is used. Idempotency and the order of events hold within one pool.",
        kLive)
      .at([](const Place& p) { return &p.route->pools; })
      .in(1, 16)
      .otherwise("the only outbox pool");
  t.add("/routes/*/enabled", Shape::boolean, "false: answers 503 and is alarmed. The kill switch.", kLive)
      .at([](const Place& p) { return &p.route->enabled; });
  t.add("/routes/*/max_in_flight", Shape::integer,
        "Requests of this route at the same time; more are answered 503. 0: only the daemon's own limits.", kLive)
      .at([](const Place& p) { return &p.route->max_in_flight; })
      .in(0, 1'000'000);
  t.add("/routes/*/idempotency", Shape::object, "When a key that was used before comes again.", kLive);
  t.add("/routes/*/idempotency/ignore", Shape::list,
        "Attributes that may differ when an event is sent again with its key, because the sender makes them anew: "
        "extensions, `subject`, `type`, `datacontenttype`, `dataschema`. `id`, `source`, `time` and tracing never "
        "count; if anything else differs it is another event, and answered 422.",
        kLive)
      .at([](const Place& p) { return &p.route->idempotency_ignore; })
      .in(0, 64)
      .otherwise("[]");
  t.add("/routes/*/idempotency/ignore/*", Shape::attribute, "One attribute's name, without `ce-`.", kLive).in(1, 64);
  for (const std::string_view later :
       {"/routes/*/auth", "/routes/*/sql", "/routes/*/emit", "/routes/*/single", "/routes/*/role", "/routes/*/method",
        "/routes/*/status", "/routes/*/id", "/routes/*/data", "/routes/*/timeout_ms",
        "/routes/*/max_rows", "/routes/*/rate", "/routes/*/breaker", "/idempotency", "/statsd", "/log/sink"}) {
    t.add(later, Shape::ignored, "", kLater);
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
    OwnedProperty{"linger.ms", "the relay decides when a batch leaves"},
    OwnedProperty{"queue.buffering.max.ms", "the relay decides when a batch leaves"},
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

}  // namespace

std::vector<Key> all_keys() {
  Rows rows;
  for (const auto section :
       {top, ops, database, outbox_keys, broker, service, registrars, http_registrars, service_limits, service_drain, log, routes}) {
    section(rows);
  }
  return rows.take();
}

std::span<const OwnedProperty> owned_properties() noexcept { return kOwned; }

}  // namespace ratchet
