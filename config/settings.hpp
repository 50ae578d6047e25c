// The typed settings of one configuration file. Defaults stand here and nowhere else; config/keys.cpp has one row
// per key (type, range, unit, doc) and a test holds the two together.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/secret.hpp"

namespace ratchet {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr std::size_t kKiB = 1024;
inline constexpr std::size_t kMiB = 1024 * kKiB;

struct ListenAddress {
  std::string host;  // numeric IPv4 or IPv6
  std::uint16_t port = 0;
  std::string path{};  // of a unix socket; then host and port mean nothing

  bool is_local() const noexcept { return !path.empty(); }
};
std::string to_string(const ListenAddress& address);  // "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock"

enum class PoolRole { primary, replica };

struct PoolSettings {
  std::string name;
  PoolRole role = PoolRole::primary;  // what the server must be
  bool required = true;               // else it climbs by itself, and level 1 is held without it
  std::optional<bool> outbox;         // events are kept in it; always set in settings that were loaded
  bool is_outbox() const noexcept { return outbox.value_or(false); }
  std::string dsn;                 // conninfo or URI, without the password
  std::optional<Secret> password;  // also one that stood in the DSN (then inline_text)
  int size = 8;                    // every server connection counts: committer, relay and probe included
  milliseconds lease_wait{1000};   // a caller's wait for a free connection
  milliseconds statement{5000};    // statement_timeout, and the patience of our own watchdog
  seconds lifetime{1800};          // of a connection, +-20 %
  seconds vital{0};                // missed for so long: the process exits; 0: never
};

enum class OnLoss { fall, ride };

struct BrokerSettings {
  std::vector<std::string> bootstrap;               // host:port
  std::map<std::string, std::string> properties;    // passed through to librdkafka
  std::map<std::string, Secret> secret_properties;  // the same, values read when the producer is made
  OnLoss on_loss = OnLoss::fall;
  std::size_t max_record_bytes = 1'000'000;  // where the broker does not tell its own limit
  seconds vital{0};                          // missed for so long: the process exits; 0: never
};

struct DrainSettings {
  int code = 503;  // /ready while draining: 503 or 404
  milliseconds total{40'000};
  std::optional<milliseconds> lb_wait;  // empty: auto; 0: none
  milliseconds late{1000};
  milliseconds requests{20'000};
  milliseconds flush{5000};
};

// Of one JSON text: the names of objects are remembered while it is read.
struct JsonLimits {
  std::size_t object_members = 10'000;  // of one object
  std::size_t members = 100'000;        // of all its objects together
};

struct HttpLimits {
  std::size_t request_line_bytes = 8 * kKiB;
  std::size_t header_bytes = 16 * kKiB;
  std::size_t headers = 100;
  std::size_t body_bytes = kMiB;
  milliseconds header_wait{10'000};  // from the first byte (or accept) to the end of the headers
  milliseconds body_wait{10'000};
  milliseconds idle{75'000};
  milliseconds request{5000};  // one deadline per request, from the end of its headers
  std::size_t connections = 10'000;
  std::size_t connections_per_address = 0;  // 0: no such limit
  JsonLimits json;
  std::size_t buffer_bytes = 64 * kMiB;  // capacity of what is held of unfinished requests and answers, all together
};

struct OutboxSettings {
  std::size_t queue_bytes = 64 * kMiB;  // commit queue
  int committers = 1;
  std::uint64_t max_rows = 5'000'000;  // unpublished
  std::uint64_t max_bytes = 8192 * kMiB;
  seconds max_age{900};
};

enum class RegistrarType { health, haproxy_agent, haproxy_runtime, http, exec };
enum class HttpMethod { get, put, post, patch, remove };  // remove: DELETE

// One HTTP request of a registrar; url, headers and body may hold {host} {port} {id} {level} {secret:NAME}.
struct RequestTemplate {
  HttpMethod method = HttpMethod::put;
  std::string url;
  std::map<std::string, std::string> headers;
  std::string body;
  std::vector<int> ok;    // status codes; empty: any 2xx
  std::vector<int> done;  // codes that say "that was so already"
};

// Who else is told that this instance serves. Which fields mean something is decided by the type.
struct RegistrarSettings {
  RegistrarType type = RegistrarType::health;
  std::string name;                      // default: the type
  milliseconds timeout{2000};            // of one try
  milliseconds heartbeat{10'000};        // between two assurances that we are still registered
  milliseconds deregister{10'000};       // for all tries of the way out
  std::optional<ListenAddress> address;  // under which balancers reach us; always set in settings that were loaded

  ListenAddress listen;              // haproxy-agent
  std::vector<std::string> sockets;  // haproxy-runtime: absolute paths or host:port
  std::string server;                // haproxy-runtime: "backend/server"

  std::map<std::string, RequestTemplate> requests;  // http, by verb: register, drain, deregister, heartbeat, status
  std::map<std::string, Secret> secrets;            // http, by the NAME in {secret:NAME}
  std::string ca_file;                              // http; empty: the system's

  std::vector<std::string> argv;  // exec
};

struct ServiceSettings {
  ListenAddress listen{"127.0.0.1", 8080};
  bool proxy_protocol = false;               // every connection begins with a PROXY header
  std::vector<std::string> trusted_proxies;  // networks whose word on the client's address is believed
  std::optional<std::vector<std::string>> balancers;  // whose word on what they send us is believed; see balancers_of
  std::optional<Secret> probe_secret;  // a word counts only with it
  milliseconds hold{5000};  // how long a socket kept over a restart may wait for level 3
  DrainSettings drain;
  HttpLimits limits;
  std::vector<RegistrarSettings> registrars;
};

// What is written, or: loopback, the unix socket if that is what we listen on, and the trusted proxies.
std::vector<std::string> balancers_of(const ServiceSettings& service);

struct OpsSettings {
  ListenAddress listen{"127.0.0.1", 8081};
  std::string control;  // unix socket; empty: see control_path()
  std::size_t connections = 64;
};

enum class LogFormat { text, json };

struct LogSettings {
  LogFormat format = LogFormat::text;
  int level = 6;  // syslog priority: 3 error .. 7 debug
  bool access = false;
};

// Where a value comes from: ":body.a.b", ":header.x" (lower case), ":query.x", or a literal.
struct Reference {
  enum class From { literal, body, header, query, path } from = From::literal;
  std::string name;               // the literal itself, the header's name, ...
  std::vector<std::string> path;  // of ":body.a.b": {"a", "b"}
};

struct EventRoute {
  std::string path;
  std::string topic;
  std::optional<Reference> key;
  std::string type;                // default: the topic
  std::string source;              // default: /ratchetd + path
  std::vector<std::string> pools;  // where its events may be kept, in order of preference; at least one when loaded
  bool enabled = true;
  std::size_t max_in_flight = 0;  // 0: only the daemon's own limits
  std::vector<std::string> idempotency_ignore;  // attributes that may differ when an event is sent again
};

struct Settings {
  std::string instance;  // default: the hostname
  OpsSettings ops;
  std::map<std::string, PoolSettings> pools;  // at least one, at least one required
  OutboxSettings outbox;
  BrokerSettings broker;
  ServiceSettings service;
  LogSettings log;
  std::vector<EventRoute> routes;
};

}  // namespace ratchet
