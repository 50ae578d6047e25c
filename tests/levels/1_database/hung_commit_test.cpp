// Commits that wait for a synchronous standby that is away, on a real server: what is tried, said and counted.
#include <map>
#include <mutex>

#include "levels/1_database/group_commit.hpp"
#include "levels/1_database/outbox.hpp"
#include "tests/levels/1_database/world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;
using db::Committed;

namespace {

class Outcomes final : public db::CommitSink {
 public:
  void finished(std::unique_ptr<db::FinishedBatch> batch) override {
    const std::lock_guard lock(mutex_);
    for (const auto& outcome : batch->outcomes())
      said_[outcome.token] = outcome.committed;
  }
  std::optional<Committed> of(std::uint64_t token) {
    std::optional<Committed> found;
    eventually([&] {
      const std::lock_guard lock(mutex_);
      const auto at = said_.find(token);
      if (at != said_.end()) found = at->second;
      return found.has_value();
    });
    return found;
  }

 private:
  std::mutex mutex_;
  std::map<std::uint64_t, Committed> said_;
};

struct Committer {
  explicit Committer(World& w) : world(w), commits({*w.pool, w.time, w.log, w.metrics, 1u << 20, 1}) {
    commits.set_sink(&sink);
    Patience patience(world.time.now() + 30s);
    if (auto started = commits.start(patience); !started) throw std::runtime_error(started.error().text);
  }
  ~Committer() { stop(); }
  void stop() {
    Patience over(world.time.now());
    commits.stop(over, Leave::fault);
  }
  void add(std::uint64_t token) {
    db::Event event{};
    event.topic = "t";
    event.headers = "{}";
    event.payload = "x";
    if (!commits.add(event, token)) throw std::runtime_error("not added");
    commits.wake();
  }
  World& world;
  Outcomes sink;
  db::GroupCommit commits;
};

void standby_away(Server& server, bool away) {
  server.ask(away ? "alter system set synchronous_standby_names = 'nobody'"
                  : "alter system reset synchronous_standby_names");
  server.ask("select pg_reload_conf()");
  REQUIRE(eventually([&] { return server.ask("show synchronous_standby_names") == (away ? "nobody" : ""); }));
}

int count(Server& server, const std::string& where) {
  return std::stoi(
      server.ask("select count(*) from pg_stat_activity where application_name = 'ratchetd test' and " + where));
}
constexpr const char* kHang = "wait_event = 'SyncRep'";

}  // namespace

TEST_CASE("hung commit: one is tried, its cause is the fault, and nothing is raised or cancelled until it has ended") {
  World world(4, 300ms);
  std::optional<Committer> committer(std::in_place, world);
  REQUIRE(eventually([&] { return world.pool->counts().open == 4; }));
  committer->add(1);
  REQUIRE(committer->sink.of(1) == Committed::stored);
  standby_away(world, true);

  committer->add(2);
  CHECK(committer->sink.of(2) == Committed::outcome_unknown);
  committer->add(3);
  REQUIRE(eventually([&] { return world.faults.count == 1; }));
  committer->stop();
  CHECK(committer->sink.of(3) == Committed::nothing_stored);
  CHECK(count(world, kHang) == 1);
  const auto fault = world.pool->fault();
  REQUIRE(fault);
  CHECK(fault->kind == FaultKind::standby_away);
  CHECK(fault->text.starts_with(
      "database main: a commit hangs in the server, which waits for a synchronous standby (SyncRep) in backend "));
  REQUIRE(world.alarms.list().size() == 1);
  CHECK(world.alarms.list()[0].id == "pool.main.hung");

  committer.reset();
  Patience none(world.time.now());
  world.pool->close(none);
  for (Incarnation incarnation = 10; incarnation < 13; ++incarnation) {
    Patience patience(world.time.now() + 1s);
    const auto opened = world.pool->open(patience, incarnation);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().kind == FaultKind::standby_away);
    CHECK(opened.error().incarnation == incarnation);
  }
  CHECK(count(world, kHang) == 1);
  CHECK(eventually([&] { return count(world, "true") == 1; }));

  standby_away(world, false);
  world.open();
  CHECK(count(world, kHang) == 0);
  CHECK(world.alarms.list().empty());
  CHECK(world.ask("select count(*) from ratchet.outbox") == "2");  // the one nobody was told of is there
  Committer again(world);
  again.add(4);
  CHECK(again.sink.of(4) == Committed::stored);
}

TEST_CASE("hung commit: another process of this instance finds it, and does not open either") {
  World world(4, 300ms);
  standby_away(world, true);
  const auto left = world.connect("app");  // as a process that was killed leaves it: the server's side works on
  REQUIRE(left->exec("set application_name = 'ratchetd test'"));
  std::thread hangs([&] {
    left->allow_until(world.time.now() + 30s);
    static_cast<void>(left->exec("select ratchet.emit('t', null, '', '{}')"));
  });
  REQUIRE(eventually([&] { return count(world, kHang) == 1; }));

  Patience none(world.time.now());
  world.pool->close(none);
  Patience patience(world.time.now() + 4s);
  const auto opened = world.pool->open(patience, 10);
  CHECK_FALSE(opened);
  CHECK(opened.error().kind == FaultKind::standby_away);
  standby_away(world, false);
  hangs.join();
  world.open();
}

TEST_CASE("hung commit: a wait that was cancelled leaves the outcome unknown, by the warning's source") {
  World world(4, 20'000ms);
  Committer committer(world);
  standby_away(world, true);
  committer.add(1);
  REQUIRE(eventually([&] { return count(world, kHang) == 1; }));
  world.ask(std::string("select pg_cancel_backend(pid) from pg_stat_activity where ") + kHang);
  CHECK(committer.sink.of(1) == Committed::outcome_unknown);
  CHECK(world.ask("select count(*) from ratchet.outbox") == "1");
  standby_away(world, false);
  committer.add(2);
  CHECK(committer.sink.of(2) == Committed::stored);

  world.ask(
      "create function shout() returns trigger language plpgsql as $$ begin raise warning 'canceling wait for "
      "synchronous replication due to user request'; return null; end $$");
  world.ask("create trigger shout after insert on ratchet.outbox for each statement execute function shout()");
  committer.add(3);
  CHECK(committer.sink.of(3) == Committed::stored);  // the same words of another source
}

TEST_CASE("hung commit: the relay's bookkeeping waits for no standby, and leaves its connection as it was") {
  World world(4, 2000ms);
  auto lease = world.pool->lease(world.time.now() + 10s);
  REQUIRE(lease);
  db::Outbox outbox(**lease);
  REQUIRE(outbox.prepare());
  standby_away(world, true);
  const auto got = outbox.acquire("me", 10s);
  REQUIRE(got);
  REQUIRE(*got);
  const auto epoch = (*got)->epoch;
  const auto page = outbox.read((*got)->cursor, 10);
  REQUIRE(page);
  CHECK(*outbox.beat(epoch, 10s));
  CHECK(*outbox.advance(epoch, 10s, page->after));
  CHECK(outbox.reclaim(epoch));
  CHECK(outbox.rotate_idempotency());
  CHECK(*outbox.release(epoch));
  CHECK(Server::must((*lease)->exec("show synchronous_commit")) == "on");
  standby_away(world, false);
}
