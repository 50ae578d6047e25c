// A validator for the part of JSON Schema 2020-12 that our schema uses; a keyword it does not know is an error, so
// that nothing is passed over.
#pragma once

#include <regex>
#include <set>
#include <string>

#include "tests/config/files.hpp"

namespace ratchet::test {

class MiniSchema {
 public:
  // "" or the place and reason of the first mismatch.
  static std::string mismatch(const Json& schema, const Json& value, const std::string& at = "") {
    for (const auto& [word, rule] : schema.items()) {
      const std::string why = one(schema, word, rule, value, at);
      if (!why.empty()) return why;
    }
    return {};
  }

 private:
  static std::string one(const Json& schema, const std::string& word, const Json& rule, const Json& value,
                         const std::string& at) {
    static const std::set<std::string> notes = {"$schema", "title", "description", "default"};
    if (notes.count(word) > 0) return {};
    const auto no = [&](const std::string& why) { return at + ": " + why; };
    const auto size = static_cast<std::int64_t>(value.is_string() ? length(value) : value.size());
    if (word == "type") return is_type(value, rule) ? "" : no("not of type " + rule.get<std::string>());
    if (word == "enum") {
      for (const Json& allowed : rule) {
        if (allowed == value) return {};
      }
      return no("not in the enum");
    }
    if (word == "minimum") return !value.is_number() || value >= rule ? "" : no("too small");
    if (word == "maximum") return !value.is_number() || value <= rule ? "" : no("too large");
    if (word == "minLength") return !value.is_string() || size >= rule ? "" : no("too short");
    if (word == "maxLength") return !value.is_string() || size <= rule ? "" : no("too long");
    if (word == "minItems") return !value.is_array() || size >= rule ? "" : no("too few items");
    if (word == "maxItems") return !value.is_array() || size <= rule ? "" : no("too many items");
    if (word == "minProperties") return !value.is_object() || size >= rule ? "" : no("too few members");
    if (word == "maxProperties") return !value.is_object() || size <= rule ? "" : no("too many members");
    if (word == "pattern") {
      const bool good =
          !value.is_string() || std::regex_search(value.get<std::string>(), std::regex(rule.get<std::string>()));
      return good ? "" : no("does not match " + rule.get<std::string>());
    }
    if (word == "anyOf") {
      for (const Json& option : rule) {
        if (mismatch(option, value, at).empty()) return {};
      }
      return no("none of the options");
    }
    return containers(schema, word, rule, value, at);
  }

  static std::string containers(const Json& schema, const std::string& word, const Json& rule, const Json& value,
                                const std::string& at) {
    if (word == "required") {
      for (const Json& name : rule) {
        if (value.is_object() && !value.contains(name.get<std::string>()))
          return at + ": lacks " + name.get<std::string>();
      }
      return {};
    }
    if (word == "items") {
      std::string why;
      for (std::size_t i = 0; value.is_array() && i < value.size() && why.empty(); ++i) {
        why = mismatch(rule, value[i], at + "/" + std::to_string(i));
      }
      return why;
    }
    if (word == "properties" || word == "additionalProperties") {
      if (!value.is_object()) return {};
      for (const auto& [name, member] : value.items()) {
        const bool known = schema.contains("properties") && schema["properties"].contains(name);
        std::string why;
        if (word == "properties" && known) why = mismatch(rule[name], member, at + "/" + name);
        if (word == "additionalProperties" && !known) {
          why = rule.is_boolean() ? (rule.get<bool>() ? "" : at + ": unknown member " + name)
                                  : mismatch(rule, member, at + "/" + name);
        }
        if (!why.empty()) return why;
      }
      return {};
    }
    return at + ": a keyword this validator does not know: " + word;
  }

  static std::size_t length(const Json& value) {  // in characters
    std::size_t n = 0;
    for (const char c : value.get_ref<const std::string&>())
      n += (static_cast<unsigned char>(c) & 0xC0U) == 0x80U ? 0 : 1;
    return n;
  }

  static bool is_type(const Json& value, const std::string& type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "integer") return value.is_number_integer();
    return false;
  }
};

}  // namespace ratchet::test
