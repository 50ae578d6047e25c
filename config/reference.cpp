#include "config/reference.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "config/keys.hpp"

namespace ratchet {

namespace {

using Json = nlohmann::ordered_json;

// Fills lines of at most `width` bytes, each behind `indent`.
std::string filled(std::string_view text, std::string_view indent, std::size_t width = 110) {
  std::string out;
  std::string line(indent);
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    if (line.size() > indent.size() && line.size() + 1 + word.size() > width) {
      out += line + "\n";
      line = indent;
    }
    if (line.size() > indent.size()) line += ' ';
    line += word;
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return out + line + "\n";
}

// "/routes/*/path" -> "routes[].path", "/database/pools/*/dsn" -> "database.pools.NAME.dsn".
std::string dotted(const Key& key, const std::vector<Key>& keys) {
  std::string out;
  for (std::size_t end = key.pointer.find('/', 1);; end = key.pointer.find('/', end + 1)) {
    const std::string_view upto = key.pointer.substr(0, end);
    const auto above = std::find_if(keys.begin(), keys.end(), [&](const Key& k) { return k.pointer == parent(upto); });
    if (leaf(upto) != "*") {
      out += (out.empty() ? "" : ".") + std::string(leaf(upto));
    } else {
      out += above->shape == Shape::list ? "[]" : ".NAME";
    }
    if (end == std::string_view::npos) return out;
  }
}

std::string paragraph(const Key& key, const std::vector<Key>& keys) {
  std::string facts = expected(key);
  if (!unit(key).empty()) facts += " (" + std::string(unit(key)) + ")";
  const std::string standard = default_text(key);
  if (key.is(kRequired)) {
    facts += "; required";
  } else if (!standard.empty()) {
    facts += "; default " + standard;
  }
  if (key.is(kLive)) facts += "; live";
  if (key.is(kSecret)) facts += "; secret";
  return dotted(key, keys) + "\n" + filled(facts, "    ") + filled(key.doc, "    ") + "\n";
}

Json string_schema(const char* pattern, const Range& range = {}) {
  Json out;
  out["type"] = "string";
  if (*pattern != '\0') out["pattern"] = pattern;
  if (range.least > 0) out["minLength"] = range.least;
  if (range.most > 0) out["maxLength"] = range.most;
  return out;
}

Json integer_schema(const Range& range) {
  Json out;
  out["type"] = "integer";
  out["minimum"] = range.least;
  out["maximum"] = range.most;
  return out;
}

template <class Words>
Json enum_schema(const Words& words) {
  Json out;
  for (const auto& word : words)
    out["enum"].push_back(word);
  return out;
}

Json secret_schema() {
  Json out;
  out["type"] = "object";
  out["minProperties"] = 1;
  out["maxProperties"] = 1;
  out["additionalProperties"] = false;
  out["properties"]["credential"] = string_schema("^[!-.0-~]+$");
  out["properties"]["file"] = string_schema("^/");
  out["properties"]["env"] = string_schema("^[A-Za-z_][A-Za-z0-9_]*$");
  return out;
}

Json either(Json one, Json other) {
  Json out;
  out["anyOf"].push_back(std::move(one));
  out["anyOf"].push_back(std::move(other));
  return out;
}

class Schema {
 public:
  std::string text() {
    Json out;
    out["$schema"] = "https://json-schema.org/draft/2020-12/schema";
    out["title"] = "ratchetd " RATCHET_VERSION;
    const Json root = of(keys_.front());
    for (const auto& [name, value] : root.items())
      out[name] = value;
    return out.dump(2) + "\n";
  }

 private:
  Json of(const Key& key) {
    Json out = shape(key);
    if (!key.doc.empty()) out["description"] = key.doc;
    if (!key.is(kRequired)) {
      const Json standard = Json::parse(default_text(key), nullptr, false);
      if (!standard.is_discarded()) out["default"] = standard;
    }
    return out;
  }

  Json shape(const Key& key) {
    switch (key.shape) {
      case Shape::object:
        return object(key);
      case Shape::map:
        return container(key, "object", "Properties", "additionalProperties");
      case Shape::list:
        return container(key, "array", "Items", "items");
      case Shape::integer:
        return integer_schema(key.range);
      case Shape::boolean:
        return typed("boolean");
      case Shape::word:
        return enum_schema(key.words);
      case Shape::code:
        return enum_schema(std::array{503, 404});
      case Shape::wait:
        return either(enum_schema(std::array{"auto", "none"}), integer_schema(key.range));
      case Shape::text:
        return string_schema("^[!-9;-~][!-~]*$", key.range);
      case Shape::socket_path:
        return string_schema("^/", key.range);
      case Shape::dsn:
        return string_schema("", {1, 0});
      case Shape::secret:
        return either(secret_schema(), string_schema("", {1, 0}));
      case Shape::property:
        return either(secret_schema(), string_schema(""));
      case Shape::address:
        return string_schema("^([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$");
      case Shape::listen:
        return string_schema("^(([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}|unix:/[!-~]*[!-.0-~])$", {0, 112});
      case Shape::network:
        return string_schema("^(unix:|[0-9A-Fa-f:.]+(/[0-9]{1,3})?)$");
      case Shape::endpoint:
        return string_schema("^([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$");
      case Shape::route_path:
        return string_schema("^/[A-Za-z0-9/._~-]*$", key.range);
      case Shape::topic:
        return string_schema("^[A-Za-z0-9._-]+$", key.range);
      case Shape::reference:
        return string_schema("^([^:]|:(body|query|header)\\..)");
      case Shape::pool_names: {
        const Json name = string_schema("^[A-Za-z0-9_-]+$", {1, 32});
        Json list = typed("array");
        list["minItems"] = key.range.least;
        list["maxItems"] = key.range.most;
        list["items"] = name;
        return either(name, std::move(list));
      }
      case Shape::argument:
      case Shape::phrase:
        return string_schema("", key.range);
      case Shape::attribute:
        return string_schema("^[a-z0-9]+$", key.range);
      case Shape::status_code:
        return integer_schema({100, 599});
      case Shape::control_point:
        return string_schema("^(/.|([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$)");
      case Shape::ignored:
        return string_schema("");
    }
    return {};
  }

  static Json typed(const char* type) {
    Json out;
    out["type"] = type;
    return out;
  }

  Json container(const Key& key, const char* type, const std::string& counted, const char* elements) {
    Json out = typed(type);
    out["min" + counted] = key.range.least;
    out["max" + counted] = key.range.most;
    out[elements] = of(element(key));
    return out;
  }

  Json object(const Key& key) {
    Json out = typed("object");
    out["additionalProperties"] = false;
    Json required = Json::array();
    for (const Key& child : keys_) {
      if (child.pointer.empty() || parent(child.pointer) != key.pointer || child.is(kLater)) continue;
      out["properties"][std::string(leaf(child.pointer))] = of(child);
      if (child.is(kRequired)) required.push_back(leaf(child.pointer));
    }
    if (!required.empty()) out["required"] = std::move(required);
    return out;
  }

  const Key& element(const Key& key) const {
    for (const Key& child : keys_) {
      if (parent(child.pointer) == key.pointer && leaf(child.pointer) == "*") return child;
    }
    return key;
  }

  const std::vector<Key> keys_ = all_keys();
};

}  // namespace

std::string reference_text() {
  std::string out =
      "Configuration of ratchetd " RATCHET_VERSION
      ": one JSON file.\n\n"
      "A paragraph per key: its place (NAME is a name of your choice, [] an element of a list), what may stand\n"
      "there, its default. Keys marked live are those that a reload may change; any other change needs a restart.\n"
      "Unknown keys are mistakes. A secret is named, not written: {\"credential\": NAME} is systemd's\n"
      "$CREDENTIALS_DIRECTORY/NAME, {\"file\": PATH} a file, {\"env\": NAME} an environment variable; one written "
      "into\n"
      "the file itself works, and raises the alarm secret.inline.\n\n";
  const std::vector<Key> keys = all_keys();
  for (const Key& key : keys) {
    if (!key.pointer.empty() && !key.is(kLater)) out += paragraph(key, keys);
  }
  out += "Properties of librdkafka that are the daemon's own and refused in broker.properties:\n";
  for (const OwnedProperty& owned : owned_properties()) {
    out += "    " + std::string(owned.name) + ": " + std::string(owned.why) + "\n";
  }
  return out;
}

std::string schema_json() { return Schema().text(); }

}  // namespace ratchet
