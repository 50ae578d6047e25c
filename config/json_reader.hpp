// Reads a JSON text (RFC 8259) into a plain tree, strictly: what a lenient parser would bend is refused, with its
// place. Refused are nesting over 64, a key twice in one object, integers beyond 64 bits, NaN and numbers beyond a
// double, a byte order mark, NUL bytes, invalid UTF-8 and anything after the value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ratchet {

struct JsonValue {
  enum class Type : std::uint8_t { null, boolean, integer, number, string, array, object };
  Type type = Type::null;
  bool boolean = false;
  std::int64_t integer = 0;
  std::string text;                // a string's content, or the lexeme of a number that is no integer
  std::vector<std::string> names;  // of an object's members, in the order of the file
  std::vector<JsonValue> items;    // of an array, or an object's members (as many as names)
  std::size_t line = 0;            // from 1; of a member: where its key stands

  const JsonValue* find(std::string_view name) const noexcept;  // a member, or null
};

struct JsonError {
  std::size_t line = 0;    // from 1
  std::size_t column = 0;  // from 1, in bytes
  std::size_t offset = 0;  // from 0, in bytes
  std::string text;        // "a key twice in one object: \"size\""; never quotes a value of the file
};

struct JsonRead {
  std::optional<JsonValue> value;
  JsonError error;  // where there is no value
};

inline constexpr std::size_t kMaxJsonDepth = 64;
inline constexpr std::size_t kMaxJsonBytes = std::size_t{16} * 1024 * 1024;

// Any thread, never throws but for want of memory.
JsonRead read_json(std::string_view text);

}  // namespace ratchet
