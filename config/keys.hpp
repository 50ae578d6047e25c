// The table: one row per key of the configuration file. Reading, checking, `ratchetd reference` and the JSON Schema
// all walk it, so they cannot disagree. Defaults are not in it: a row points at its field of Settings, and what a
// fresh Settings holds there is the default.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/settings.hpp"

namespace ratchet {

// What a row's field is found in: the settings and, below a pool, a route or a registrar, the one in question.
struct Place {
  Settings* settings = nullptr;
  PoolSettings* pool = nullptr;
  EventRoute* route = nullptr;
  RegistrarSettings* registrar = nullptr;
  RequestTemplate* request = nullptr;  // of that registrar
};

template <class T>
using FieldOf = T* (*)(const Place&);

using Field = std::variant<std::monostate, FieldOf<int>, FieldOf<std::size_t>, FieldOf<milliseconds>, FieldOf<seconds>,
                           FieldOf<bool>, FieldOf<std::optional<bool>>, FieldOf<PoolRole>, FieldOf<std::string>,
                           FieldOf<std::optional<Secret>>, FieldOf<ListenAddress>, FieldOf<std::optional<milliseconds>>,
                           FieldOf<std::optional<Reference>>, FieldOf<std::vector<std::string>>, FieldOf<OnLoss>,
                           FieldOf<LogFormat>, FieldOf<std::optional<ListenAddress>>, FieldOf<RegistrarType>,
                           FieldOf<HttpMethod>, FieldOf<std::vector<int>>, FieldOf<std::map<std::string, std::string>>,
                           FieldOf<std::map<std::string, Secret>>, FieldOf<std::optional<std::vector<std::string>>>>;

enum class Shape : std::uint8_t {
  object,   // with the keys of the rows below it
  map,      // an object with names of the writer's choice; range: how many
  list,     // range: how many
  integer,  // range
  boolean,
  word,         // one of `words`; the field gets range.least + its place
  code,         // 503 or 404
  wait,         // "auto", "none" or milliseconds in range
  text,         // range: bytes; printable, no white space
  socket_path,  // absolute
  dsn,          // conninfo or URI
  secret,       // {"credential"|"file"|"env": "..."} or the secret itself
  property,     // a string or a secret, for librdkafka
  address,      // numeric host:port
  listen,       // the same, or unix:PATH
  network,      // CIDR
  endpoint,     // host:port
  route_path,
  topic,
  reference,      // ":body.a.b" or a literal
  pool_names,     // of outbox pools: a name, or a list of them
  argument,       // of a program: any text; range: bytes
  phrase,         // with placeholders; range: bytes
  attribute,      // of CloudEvents, its name; range: characters
  status_code,    // of HTTP
  control_point,  // absolute path of a unix socket, or host:port
  ignored,        // any string
};

struct Range {
  std::int64_t least = 0;
  std::int64_t most = 0;
};

enum KeyFlag : unsigned {
  kRequired = 1,  // must be written
  kLive = 2,      // a reload may change it; all others need a restart
  kSecret = 4,    // its value is never shown
  kLater = 8,     // known to the product, refused by this version
  kDecides = 16,  // says what its object is: of a kind this version does not support, the rest is not looked at
};

struct Key {
  std::string_view pointer;  // JSON pointer; "*" stands for a name in a map or an index in a list
  Shape shape = Shape::object;
  std::string_view doc{};
  unsigned flags = 0;
  Field field{};
  Range range{};
  std::vector<std::string_view> words{};        // of Shape::word
  std::vector<std::string_view> later_words{};  // known, refused by this version
  std::string_view default_words{};             // where the default is not a constant

  bool is(KeyFlag flag) const noexcept { return (flags & flag) != 0; }
};

// All rows; a parent stands before its children. Made anew at each call (start, reload, reference: never in a hot
// path), because there is no static mutable state and a constant one would need a destructor.
std::vector<Key> all_keys();

std::string_view leaf(std::string_view pointer) noexcept;    // "/a/b" -> "b"
std::string_view parent(std::string_view pointer) noexcept;  // "/a/b" -> "/a"
// "milliseconds", "seconds", "bytes" or "": from the end of the name.
std::string_view unit(const Key& key) noexcept;
// "integer 1..1024", "\"text\" or \"json\"", ...: the words of the mistakes, the reference and the schema.
std::string expected(const Key& key);
// As JSON: "8", "\"127.0.0.1:8080\""; words for people where it is not a constant; "" for required keys.
std::string default_text(const Key& key);

struct OwnedProperty {
  std::string_view name;
  std::string_view why;
};
// Properties of librdkafka that are the daemon's own and refused in broker.properties.
std::span<const OwnedProperty> owned_properties() noexcept;

}  // namespace ratchet
