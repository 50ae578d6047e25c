#include "config/keys.hpp"

namespace ratchet {

namespace {

std::string in_quotes(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::string either(const std::vector<std::string_view>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += in_quotes(words[i]);
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
    case Shape::listen:
      return "numeric address and port (\"127.0.0.1:8080\", \"[::1]:8080\"), or \"unix:\" and an absolute path of at "
             "most 107 bytes";
    case Shape::network:
      return "numeric address, network (\"10.0.0.0/8\", \"2001:db8::/32\"; no bits after the prefix) or \"unix:\"";
    case Shape::endpoint:
      return "host:port";
    case Shape::route_path:
      return "path: '/' and then [A-Za-z0-9/._~-], at most " + std::to_string(key.range.most) + " bytes";
    case Shape::topic:
      return "Kafka topic: [A-Za-z0-9._-], at most " + std::to_string(key.range.most) + " characters";
    case Shape::reference:
      return ":body.NAME, :header.NAME, :query.NAME or a constant";
    case Shape::pool_names:
      return "name of an outbox pool, or list of " + from_to(key.range) + " of them in order of preference";
    case Shape::argument:
    case Shape::phrase:
      return "string of " + from_to(key.range) + " bytes" +
             (key.shape == Shape::phrase ? ", with {host} {port} {id} {level} {secret:NAME} where wanted" : "");
    case Shape::attribute:
      return "CloudEvents attribute: " + from_to(key.range) + " of [a-z0-9], without \"ce-\"";
    case Shape::status_code:
      return "status code 100..599";
    case Shape::control_point:
      return "absolute path of a unix socket, or host:port";
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
    return in_quotes(key.words.at(static_cast<std::size_t>(value - key.range.least)));
  }
  std::string operator()(std::monostate) const { return ""; }
  std::string operator()(FieldOf<int> at) const {
    return key.shape == Shape::word ? word(*at(place)) : std::to_string(*at(place));
  }
  std::string operator()(FieldOf<std::size_t> at) const { return std::to_string(*at(place)); }
  std::string operator()(FieldOf<milliseconds> at) const { return std::to_string(at(place)->count()); }
  std::string operator()(FieldOf<seconds> at) const { return std::to_string(at(place)->count()); }
  std::string operator()(FieldOf<bool> at) const { return *at(place) ? "true" : "false"; }
  std::string operator()(FieldOf<std::optional<bool>>) const { return ""; }
  std::string operator()(FieldOf<PoolRole> at) const { return word(static_cast<std::int64_t>(*at(place))); }
  std::string operator()(FieldOf<std::string> at) const { return at(place)->empty() ? "" : in_quotes(*at(place)); }
  std::string operator()(FieldOf<std::optional<Secret>>) const { return ""; }
  std::string operator()(FieldOf<ListenAddress> at) const { return in_quotes(to_string(*at(place))); }
  std::string operator()(FieldOf<std::optional<milliseconds>>) const { return ""; }
  std::string operator()(FieldOf<std::optional<Reference>>) const { return ""; }
  std::string operator()(FieldOf<std::vector<std::string>>) const { return ""; }
  std::string operator()(FieldOf<std::optional<std::vector<std::string>>>) const { return ""; }
  std::string operator()(FieldOf<OnLoss> at) const { return word(static_cast<std::int64_t>(*at(place))); }
  std::string operator()(FieldOf<std::optional<ListenAddress>>) const { return ""; }
  std::string operator()(FieldOf<RegistrarType> at) const { return word(static_cast<std::int64_t>(*at(place))); }
  std::string operator()(FieldOf<HttpMethod> at) const { return word(static_cast<std::int64_t>(*at(place))); }
  std::string operator()(FieldOf<std::vector<int>>) const { return ""; }
  std::string operator()(FieldOf<std::map<std::string, std::string>>) const { return ""; }
  std::string operator()(FieldOf<std::map<std::string, Secret>>) const { return ""; }
  std::string operator()(FieldOf<LogFormat> at) const { return word(static_cast<std::int64_t>(*at(place))); }
};

}  // namespace

std::string default_text(const Key& key) {
  if (!key.default_words.empty()) return std::string(key.default_words);
  Settings settings;
  PoolSettings pool;
  EventRoute route;
  RegistrarSettings registrar;
  RequestTemplate request;
  return std::visit(Shown{{&settings, &pool, &route, &registrar, &request}, key}, key.field);
}

}  // namespace ratchet
