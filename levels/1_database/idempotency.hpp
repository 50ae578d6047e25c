// Which event is "the same again", and is it really the same? Two hashes of parts that outsiders choose, so every part
// carries its length: ("ab", "c") and ("a", "bc") differ, and so do lists of different length. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ratchet::db {

using Uuid = std::array<std::uint8_t, 16>;
using Fingerprint = std::array<char, 32>;

// The key under which an event is remembered: the first 16 bytes of SHA-256(route, principal, key). `route` is the
// route's path, `principal` whoever was authenticated ("" without authentication), `key` the Idempotency-Key.
Uuid idempotency_id(std::string_view route, std::string_view principal, std::string_view key);

// The same for a CloudEvent without that header: its source and id name it.
Uuid idempotency_id(std::string_view route, std::string_view principal, std::string_view source, std::string_view id);

// What must not change between two requests with the same key: SHA-256(method, path, body).
Fingerprint fingerprint(std::string_view method, std::string_view path, std::string_view body);

inline std::string_view view(const Fingerprint& fingerprint) noexcept {
  return {fingerprint.data(), fingerprint.size()};
}

}  // namespace ratchet::db
