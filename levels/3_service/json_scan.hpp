// Validates a JSON text (RFC 8259, UTF-8, depth, no duplicate keys in any object) and lifts out one member, without
// building a document: a tenth of the cost of a parser. Compared with nlohmann/json by a property test and a fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "levels/3_service/json_names.hpp"

namespace ratchet::service {

struct JsonScan {
  enum class Found : std::uint8_t { absent, string, number, boolean, null, object, array };
  bool valid = false;
  std::size_t error_at = 0;  // byte offset of the first mistake
  std::string_view error;    // "unexpected character", "depth over 64", "duplicate key", "invalid UTF-8", ...
  enum class Over : std::uint8_t { nothing, depth, object_members, members } over = Over::nothing;
  std::size_t limit = 0;  // that was passed by one, where `over` says so
  Found found = Found::absent;
  std::string value;  // string unescaped, number's lexeme, "true"/"false"
};

constexpr int kJsonDepth = 64;  // objects and arrays inside one another

// Keeps its buffers from text to text: in the common case a scan allocates nothing. One thread at a time.
class JsonScanner {
 public:
  // `key`: of the hash of large objects' names (json_names.hpp). Drawn for this alone.
  explicit JsonScanner(const HashKey& key, const JsonLimits& limits = {});
  ~JsonScanner();
  JsonScanner(JsonScanner&&) noexcept;
  JsonScanner& operator=(JsonScanner&&) noexcept;

  // `path`: {"customer"} or {"a", "b"}; empty: validate only. Arrays are not entered. Texts from 2 GiB on are
  // refused. The result is valid until the next scan.
  const JsonScan& scan(std::string_view text, const std::vector<std::string>& path);

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

// Length in bytes of the character that `text` begins with; 0: not UTF-8 (overlong forms, surrogates and what is over
// U+10FFFF are not).
std::size_t utf8_character(std::string_view text) noexcept;

}  // namespace ratchet::service
