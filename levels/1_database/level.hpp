// Level 1: every required pool has a usable connection, proven by a query answered by a server of the right role
// with our schema version; the committer runs.
#pragma once

#include <optional>
#include <string>

#include "levels/1_database/group_commit.hpp"
#include "levels/1_database/pool.hpp"
#include "levels/core/level.hpp"

namespace ratchet::db {

class DatabaseLevel final : public Level {
 public:
  DatabaseLevel(Pool& pool, GroupCommit& commits, const TimeSource& time, Log& log);
  std::string_view name() const noexcept override { return "database"; }
  Duration raise_patience() const noexcept override;
  ProbePlan probe_plan() const noexcept override;
  Result<std::unique_ptr<HeldLevel>> raise(Patience& patience, Incarnation incarnation) override;

 private:
  std::optional<Fault> verify(Patience& patience);

  Pool& pool_;
  GroupCommit& commits_;
  const TimeSource& time_;
  Log& log_;
};

}  // namespace ratchet::db
