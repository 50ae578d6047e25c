// One database of the configuration and all that is opened and closed with it: its pool and, where events are kept in
// it, its committers. It is raised, probed and let go like a level. Level 1 does that for those that are required, all
// together; a Climber does it for each of the others.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "levels/1_database/group_commit.hpp"
#include "levels/1_database/pool.hpp"
#include "levels/core/level.hpp"

namespace ratchet::db {

class Database final : public Level {
 public:
  struct Parts {
    Pool::Parts pool;
    std::size_t queue_bytes;
    int committers;
  };
  Database(const PoolSettings& settings, Parts parts);

  std::string_view name() const noexcept override { return pool_.settings().name; }
  Duration raise_patience() const noexcept override;
  ProbePlan probe_plan() const noexcept override;
  // Proven by a query answered by a server of the right role and, for an outbox, with our schema version; the
  // committers run. One raise at a time, and none while it is held.
  Result<std::unique_ptr<HeldLevel>> raise(Patience& patience, Incarnation incarnation) override;

  const PoolSettings& settings() const noexcept { return pool_.settings(); }
  Pool& pool() noexcept { return pool_; }
  const Pool& pool() const noexcept { return pool_; }
  GroupCommit* commits() noexcept { return commits_ ? &*commits_ : nullptr; }  // null: no events are kept in it

 private:
  class Held;
  std::optional<Fault> verify(Patience& patience);
  std::optional<Fault> verify_on(Connection& connection);
  void up(bool connected) const noexcept { up_.set(connected ? 1 : 0); }

  const TimeSource& time_;
  const int needed_;  // connections
  Pool pool_;
  std::optional<GroupCommit> commits_;
  Gauge up_;
};

}  // namespace ratchet::db
