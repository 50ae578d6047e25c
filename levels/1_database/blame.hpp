// Whose fault it is that a batch was refused, as far as the server's answer tells. An SQLSTATE counts only from where
// it can mean what it says: a trigger may raise any of them. Pure.
#pragma once

#include <cstdint>

#include "levels/1_database/connection.hpp"

namespace ratchet::db {

enum class Blame : std::uint8_t {
  race,           // a deadlock or a bucket's end: the same again, at once
  key_in_flight,  // another transaction is storing the same key now
  row,            // some row's, or a trigger's for it: its neighbours need not pay
  server,         // nobody's row: a lock on the table, a timeout, no memory, no disk
  unclear,        // a right, a function, a table, the session: ours or a trigger's; one call without rows tells
};
Blame blame(const SqlError& error) noexcept;  // of what was said, not of a loss

// It waits for somebody or something: refused now, it may be taken later.
bool may_pass_by_itself(const SqlError& error) noexcept;

}  // namespace ratchet::db
