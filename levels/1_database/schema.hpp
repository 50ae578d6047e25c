// The schema `ratchet` in the database: migrations embedded in the program, re-runnable, expand/contract, under an
// advisory lock. `ratchetd migrate` applies them; the daemon only verifies the version.
#pragma once

#include <string>
#include <vector>

#include "levels/1_database/connection.hpp"

namespace ratchet::db {

constexpr int kSchemaOldest = 7;  // the oldest and the newest version this program can work with
constexpr int kSchemaNewest = 7;

// Below level 1: is the schema there, of a version we can read, and may we use it? A Fault names what to do; its text
// does not name the pool.
Result<Nothing> verify_schema(Connection& connection);
// The same, by the statement that stores events, without any: what its owner may no more do is seen, too. A lock or a
// timeout is no answer, and no fault.
Result<Nothing> verify_append(Connection& connection);

struct Migration {
  int version;
  std::string_view name;
  std::string_view sql;
};
const std::vector<Migration>& migrations();

// Applies what is missing, each migration in a transaction of its own. Returns one line per step done ("2 outbox:
// applied"), or one that says there was nothing to do. Needs the owner's rights. Waits up to a minute for another
// `migrate`.
Result<std::vector<std::string>, SqlError> migrate(Connection& connection);

}  // namespace ratchet::db
