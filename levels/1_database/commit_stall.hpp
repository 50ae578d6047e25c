// Is anything stored at all? Requests that are refused one by one, each with a cause of its own, are a stall together:
// ten seconds in which every attempt to store something failed. Decisions only. Not thread-safe.
#pragma once

#include <optional>

#include "levels/1_database/connection.hpp"

namespace ratchet::db {

class CommitStall {
 public:
  static constexpr Duration kLong = std::chrono::seconds(10);

  // Nothing of an attempt was stored, for this. True: that has been so for long.
  bool failed(const SqlError& error, TimePoint now) noexcept;
  // Something was. True: it had failed before.
  bool stored() noexcept;

 private:
  std::optional<TimePoint> since_;
};

// What to do about it: one line.
std::string_view stall_remedy(const SqlError& error) noexcept;

}  // namespace ratchet::db
