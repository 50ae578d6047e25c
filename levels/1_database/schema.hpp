// The schema `ratchet` in the database: migrations embedded in the program, re-runnable, expand/contract, under an
// advisory lock. `ratchetd migrate` applies them; the daemon only verifies the version.
#pragma once

#include <string>
#include <vector>

#include "levels/1_database/connection.hpp"

namespace ratchet::db {

constexpr int kSchemaOldest = 1;  // the oldest and the newest version this program can work with
constexpr int kSchemaNewest = 1;

// Below level 1: is the schema there, and of a version we can read? A Fault names what to do.
Result<Nothing> verify_schema(Connection& connection);

struct Migration {
  int version;
  std::string_view name;
  std::string_view sql;
};
const std::vector<Migration>& migrations();

// Applies what is missing. Returns one line per step done ("1 outbox: applied"). Needs the owner's rights.
Result<std::vector<std::string>, SqlError> migrate(Connection& connection);

}  // namespace ratchet::db
