// The relay's side of the outbox: lease, cursor, pages. Each call is one autocommit statement on the connection
// that acquired the lease; a new connection means a new acquire with the cursor from the row (a cursor kept in
// memory lost 60 of 100 events after a failover).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "levels/1_database/connection.hpp"

namespace ratchet::db {

// Everything before it has been acknowledged by the broker.
struct Cursor {
  std::string snap_from;
  std::optional<std::string> snap_to;  // inside a window: its upper snapshot
  std::int64_t last_seq = -1;
  std::optional<std::int64_t> hi_seq;
  bool operator==(const Cursor&) const = default;
};

struct RelayLease {
  std::int64_t epoch = 0;
  Cursor cursor;
  std::int64_t republished = 0;  // > 0: another cluster; what was left is published again
};

struct OutboxRow {
  std::int64_t seq;
  std::string topic;
  std::optional<std::string> key;
  std::string headers;  // JSON object of strings
  std::optional<std::string> payload;
};

struct Page {
  std::vector<OutboxRow> rows;  // in the order they must be produced
  Cursor after;                 // the cursor once all of them are acknowledged
};

// The cursor once the first `done` rows of the page read at `before` are acknowledged: for saving it in mid-page.
Cursor cursor_after(const Cursor& before, const Page& page, std::size_t done);

struct OutboxStats {
  std::int64_t unpublished_rows = 0;
  double oldest_seconds = 0;
  double oldest_at =
      0;  // when the oldest was written, by the server's clock, seconds; without one the time of the look
  std::int64_t bytes = 0;
  std::int64_t dead_letters = 0;
};

class Outbox {
 public:
  explicit Outbox(Connection& connection);  // prepares nothing yet
  Result<Nothing, SqlError> prepare();      // for all but stats
  Result<std::optional<RelayLease>, SqlError> acquire(const std::string& owner,
                                                      Duration ttl);  // empty: somebody else's
  Result<bool, SqlError> beat(std::int64_t epoch, Duration ttl);      // false: not ours any more
  Result<bool, SqlError> advance(std::int64_t epoch, Duration ttl, const Cursor& cursor);
  Result<bool, SqlError> release(std::int64_t epoch);
  Result<Page, SqlError> read(const Cursor& cursor, int most);  // no rows: nothing new
  Result<std::string, SqlError> reclaim(std::int64_t epoch);    // every few seconds; what it did, for the log
  Result<std::string, SqlError> rotate_idempotency();           // every quarter of an hour or so, by anybody
  // Waits at most a second for a lock (55P03).
  Result<OutboxStats, SqlError> stats();
  // Moves one row to the dead letters and the cursor past it, in one statement. False: not ours any more. An error with
  // SQLSTATE 53400: the dead letters are full.
  Result<bool, SqlError> bury(std::int64_t epoch, Duration ttl, const Cursor& cursor, const OutboxRow& row,
                              const std::string& code, const std::string& error);

 private:
  Connection& connection_;
};

}  // namespace ratchet::db
