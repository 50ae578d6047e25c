#include "levels/1_database/level.hpp"

#include "levels/1_database/schema.hpp"
#include "tests/levels/1_database/pool_world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::db;
using namespace ratchet::tests;

namespace {

class NoOutcomes final : public CommitSink {
 public:
  void finished(std::unique_ptr<FinishedBatch>) override {}
};

struct LevelWorld : PoolWorld {
  explicit LevelWorld(PoolSettings settings)
      : PoolWorld(std::move(settings)), commits({pool, time, log, metrics, 1024 * 1024, 1}),
        level(pool, commits, time, log) {
    commits.set_sink(&sink);
  }
  Result<std::unique_ptr<HeldLevel>> raise(Incarnation incarnation) {
    Patience patience(time.now() + kAges);
    return level.raise(patience, incarnation);
  }
  bool closed() {
    auto lease = pool.lease(time.now());
    return !lease && lease.error() == LeaseError::not_connected;
  }
  NoOutcomes sink;
  GroupCommit commits;
  DatabaseLevel level;
};

void migrate_as_owner(Postgres& server) {
  static const RealTime time;
  Patience patience(time.now() + kAges);
  auto owner = Connection::connect({server.socket_dsn("app", "postgres"), "test"}, patience, time);
  if (!owner) throw std::runtime_error(owner.error().text);
  if (auto done = migrate(**owner); !done) throw std::runtime_error(done.error().text);
  server.sql("grant ratchet_run to app");
}

}  // namespace

TEST_CASE("level 1: without the schema it is not reached, and nothing is left behind") {
  Postgres& server = the_server();
  LevelWorld world(pool_settings(server, 4));
  auto held = world.raise(3);
  REQUIRE_FALSE(held);
  CHECK(held.error().kind == FaultKind::schema_missing);
  CHECK(held.error().level == 1);
  CHECK(held.error().incarnation == 3);
  CHECK(held.error().text.starts_with("database main: "));
  CHECK(world.closed());
  CHECK(comes_true([&] { return sessions(server) == 0; }));

  migrate_as_owner(server);
  SECTION("with it the level is held, probed, drained, and raised again") {
    for (Incarnation incarnation = 4; incarnation <= 5; ++incarnation) {
      auto now = world.raise(incarnation);
      REQUIRE(now);
      CHECK(world.full());
      Patience patience(world.time.now() + kAges);
      CHECK_FALSE((*now)->probe(patience));
      if (incarnation == 4) (*now)->drain(patience, Leave::asked);
      now->reset();  // the second one goes without a drain
      CHECK(world.closed());
      CHECK(comes_true([&] { return sessions(server) == 0; }));
    }
    CHECK(world.faults.size() == 0);
  }
}
