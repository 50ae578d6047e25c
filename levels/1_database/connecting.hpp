// How a server connection comes about: libpq, asked without blocking, host by host, until one is there whose session is
// ours. What is made here becomes a Connection.
#pragma once

#include <memory>
#include <string>

#include "levels/1_database/connection.hpp"
#include "levels/1_database/conninfo.hpp"

struct pg_conn;  // libpq's PGconn

namespace ratchet::db {

using Handle = std::unique_ptr<pg_conn, void (*)(pg_conn*)>;

struct Opened {
  Handle handle;
  std::string where;          // for people: "127.0.0.1:5432"
  bool options_taken = true;  // false: the session was set by SQL
};

// What Connection::connect promises, but for the Connection itself.
Result<Opened> open_any(Conninfo conninfo, const Connection::Plan& plan, Patience& patience, const TimeSource& time);

}  // namespace ratchet::db
