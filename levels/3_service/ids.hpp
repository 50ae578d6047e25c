// What the server makes up for events that come without: ids (UUIDv7), times (RFC 3339), trace parents (W3C).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "levels/core/clock.hpp"
#include "levels/core/random.hpp"

namespace ratchet::service {

// A stranger who has seen ids and traces knows nothing of the next: a guessed ce_id, sent first, would make consumers
// drop the event that bears it. One thread at a time.
class Ids {
 public:
  explicit Ids(const RandomSource& random) noexcept : random_(random) {}

  // Views are valid until the next call of the same function.
  std::string_view uuid7(WallTime now) noexcept;  // 36 characters; sorts by time, to the millisecond
  std::string_view trace_parent() noexcept;       // a new trace, not sampled

 private:
  std::uint64_t next() noexcept;

  const RandomSource& random_;
  std::array<std::uint8_t, 4096> drawn_{};  // at once: a system call for each id would cost more than the id
  std::size_t used_ = sizeof drawn_;
  std::array<char, 36> uuid_{};
  std::array<char, 55> trace_{};
};

// "2026-11-21T12:00:00.123Z". The calendar is asked once per second. One thread at a time.
class TimeText {
 public:
  std::string_view of(WallTime now) noexcept;

 private:
  std::int64_t second_ = INT64_MIN;
  std::array<char, 24> text_{};
};

// Of a version we can read (W3C trace context, level 1), and not all zero.
bool is_trace_parent(std::string_view text) noexcept;

}  // namespace ratchet::service
