#include "levels/1_database/commit_stall.hpp"

#include <utility>

#include "levels/1_database/blame.hpp"
#include "levels/core/runbook.hpp"

namespace ratchet::db {

bool CommitStall::failed(const SqlError& error, TimePoint now) noexcept {
  // Data that does not fit is its sender's matter, and a loss is the pool's.
  const std::string_view state = error.sqlstate;
  if (error.kind == SqlError::Kind::lost || state.starts_with("22") || state.starts_with("23")) return false;
  if (blame(error) == Blame::key_in_flight) return false;
  if (!since_) since_ = now;
  return now - *since_ >= kLong;
}

bool CommitStall::stored() noexcept { return std::exchange(since_, std::nullopt).has_value(); }

std::string_view stall_remedy(const SqlError& error) noexcept {
  if (error.sqlstate == "55P03") {
    return "Another session holds a lock: find it (`select pid, mode, relation::regclass from pg_locks where granted`, "
           "tables of schema ratchet and those of your triggers) and end its transaction.";
  }
  const FaultKind kind = fault_kind(error);
  if (kind != FaultKind::unknown) return runbook(kind);
  return "A trigger or a constraint on the tables of schema ratchet refuses every event: its own words are the text; "
         "mend it, or drop it.";
}

}  // namespace ratchet::db
