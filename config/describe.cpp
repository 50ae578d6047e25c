#include "config/describe.hpp"

#include "config/secret.hpp"
#include "config/syntax.hpp"

namespace ratchet {

namespace {

std::string_view type_name(JsonValue::Type type) noexcept {
  switch (type) {
    case JsonValue::Type::null:
      return "null";
    case JsonValue::Type::boolean:
      return "boolean";
    case JsonValue::Type::integer:
      return "integer";
    case JsonValue::Type::number:
      return "number";
    case JsonValue::Type::string:
      return "string";
    case JsonValue::Type::array:
      return "list";
    case JsonValue::Type::object:
      return "object";
  }
  return "";
}

}  // namespace

std::string pointer_step(std::string_view name) {
  std::string out = "/";
  for (const char c : name) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string describe(const JsonValue& value, bool hidden) {
  std::string type(type_name(value.type));
  if (hidden && (value.type == JsonValue::Type::string || value.type == JsonValue::Type::integer ||
                 value.type == JsonValue::Type::number)) {
    return type + " (not shown)";
  }
  switch (value.type) {
    case JsonValue::Type::null:
      return type;
    case JsonValue::Type::boolean:
      return value.boolean ? "true" : "false";
    case JsonValue::Type::integer:
      return type + " " + std::to_string(value.integer);
    case JsonValue::Type::number:
      return type + " " + value.text.substr(0, 40);
    case JsonValue::Type::string:
      return type + " " + shown(redact(value.text));
    case JsonValue::Type::array:
      return type + " of " + std::to_string(value.items.size());
    case JsonValue::Type::object:
      return type;
  }
  return type;
}

}  // namespace ratchet
