// Which event is "the same again", and is it really the same? Two hashes of parts that outsiders choose, so every part
// carries its length: ("ab", "c") and ("a", "bc") differ, and so do lists of different length. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ratchet::db {

using Uuid = std::array<std::uint8_t, 16>;
using Fingerprint = std::array<char, 32>;

// The key under which an event is remembered: the first 16 bytes of SHA-256(route, principal, key). `route` is the
// route's path, `principal` whoever was authenticated ("" without authentication), `key` the Idempotency-Key.
Uuid idempotency_id(std::string_view route, std::string_view principal, std::string_view key);

// The same for a CloudEvent without that header: its source and id name it.
Uuid idempotency_id(std::string_view route, std::string_view principal, std::string_view source, std::string_view id);

// What must not change between two requests with the same key. Not in it is what the sender makes anew for each try
// (time, traces) and what we made up.
struct Content {
  struct Attribute {
    std::string_view name, value;
  };
  std::string_view method, path, topic;
  std::optional<std::string_view> key;  // the record's
  std::string_view body;
  std::optional<std::string_view> type, content_type;  // empty: of no interest
  std::span<const Attribute> attributes;               // of the envelope, the others; sorted by name, each once
};

// Its first byte is its version, the rest SHA-256 cut short by that byte.
Fingerprint fingerprint(const Content& content);

// Does a fingerprint that was stored say the same as ours? One of another version cannot be compared, so the key alone
// decides: after an upgrade an honest sender's retry is no error, for as long as keys are kept.
bool says_the_same(std::string_view stored, std::string_view ours) noexcept;

inline std::string_view view(const Fingerprint& fingerprint) noexcept {
  return {fingerprint.data(), fingerprint.size()};
}

}  // namespace ratchet::db
