// What the server refuses, and whom it is believed from: triggers that raise everything, rights that are taken away,
// tables that are locked.
#include <map>
#include <mutex>

#include "levels/1_database/group_commit.hpp"
#include "tests/levels/1_database/world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;
using db::Committed;

namespace {

class Runner final : public db::CommitSink {
 public:
  explicit Runner(World& world)
      : world_(world), commits_({*world.pool, world.time, world.log, world.metrics, 64u << 20, 1}) {
    commits_.set_sink(this);
    Patience patience(world_.time.now() + 30s);
    if (auto started = commits_.start(patience); !started) throw std::runtime_error(started.error().text);
  }
  ~Runner() {
    Patience patience(world_.time.now() + 5s);
    commits_.stop(patience, Leave::fault);
  }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  void finished(std::unique_ptr<db::FinishedBatch> batch) override {
    const std::lock_guard lock(mutex_);
    for (const auto& outcome : batch->outcomes())
      said_[outcome.token] = {outcome.committed, std::string(outcome.reply)};
  }
  // One batch of these payloads; what was said of each, in order.
  std::vector<Committed> store(const std::vector<std::string>& payloads, bool keyed = false) {
    const auto first = next_;
    for (const auto& payload : payloads) {
      db::Event event{};
      const std::string print(32, '1');
      db::Uuid id{};
      id.fill(static_cast<std::uint8_t>(next_ + 1));
      if (keyed) event.idempotency = id;
      event.fingerprint = print;
      event.topic = "t";
      event.headers = "{}";
      event.payload = payload;
      if (!commits_.add(event, next_++)) throw std::runtime_error("not added");
    }
    commits_.wake();
    std::vector<Committed> all;
    for (auto token = first; token < next_; ++token)
      all.push_back(wait(token).first);
    return all;
  }
  std::pair<Committed, std::string> wait(std::uint64_t token) {
    std::pair<Committed, std::string> found{Committed::mismatch, "no outcome came"};
    eventually([&] {
      const std::lock_guard lock(mutex_);
      const auto at = said_.find(token);
      if (at != said_.end()) found = at->second;
      return at != said_.end();
    });
    return found;
  }

 private:
  World& world_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::pair<Committed, std::string>> said_;
  std::uint64_t next_ = 0;
  db::GroupCommit commits_;
};

std::string committer(World& world) {
  return world.ask("select pid from pg_stat_activity where usename = 'app' and query like '%ratchet.append%'");
}

// A row whose payload is an SQLSTATE is raised with it, by a trigger.
void raise_what_is_said(World& world, const std::string& how) {
  world.ask(
      "create schema myratchet; create function myratchet.audit() returns trigger language plpgsql as $$ begin "
      "if length(new.payload) = 5 then " +
      how +
      " end if; return new; end $$;"
      "create trigger audit before insert on ratchet.outbox for each row execute function myratchet.audit()");
}

const std::vector<std::string> kStates{"08000", "08006", "25006", "26000", "28000", "28P01", "3D000", "3F000",
                                       "40003", "42501", "42883", "42P01", "53300", "55000", "57P01", "57P02",
                                       "57P03", "57P04", "58030", "53100", "57014", "0A000", "XX000", "F0000"};

}  // namespace

TEST_CASE("refusal: whatever a trigger raises costs its own row, not its neighbours, the connection or the level") {
  World world;
  Runner runner(world);
  raise_what_is_said(world, "raise exception 'somebody''s matter' using errcode = convert_from(new.payload, 'UTF8');");
  CHECK(runner.store({"before"}) == std::vector{Committed::stored});
  const auto pid = committer(world);
  for (const auto& state : kStates) {
    INFO(state);
    const bool passing = state == "58030" || state.starts_with("53") || state == "57014";
    const auto refused = passing ? Committed::nothing_stored : Committed::refused;
    CHECK(runner.store({state}) == std::vector{refused});
    CHECK(runner.store({"neighbour", state, "another"}) == std::vector{Committed::stored, refused, Committed::stored});
  }
  CHECK(committer(world) == pid);
  CHECK(world.faults.count == 0);
  CHECK(world.alarms.list().empty());
}

TEST_CASE("refusal: a trigger's warnings are nobody's farewell") {
  World world;
  Runner runner(world);
  raise_what_is_said(world, "raise warning 'somebody''s matter' using errcode = convert_from(new.payload, 'UTF8');");
  CHECK(runner.store({"before"}) == std::vector{Committed::stored});
  const auto pid = committer(world);
  for (const std::string state : {"57P01", "57P02", "57P03", "08006"})
    CHECK(runner.store({state, "neighbour"}) == std::vector{Committed::stored, Committed::stored});
  CHECK(runner.store({"afterwards"}) == std::vector{Committed::stored});
  CHECK(committer(world) == pid);
  CHECK(world.faults.count == 0);
}

TEST_CASE("refusal: a lock on a table is nobody's key in flight") {
  World world;
  Runner runner(world);
  auto other = world.connect();
  for (const std::string table : {"ratchet.outbox", "ratchet.idem_0, ratchet.idem_1, ratchet.idem_2", "ratchet.ring"}) {
    INFO(table);
    Server::must(other->exec("begin; lock table " + table + " in access exclusive mode"));
    CHECK(runner.store({"one"}, true) == std::vector{Committed::nothing_stored});
    CHECK(runner.store({"one", "two"}, true) == std::vector{Committed::nothing_stored, Committed::nothing_stored});
    Server::must(other->exec("rollback"));
    CHECK(runner.store({"one", "two"}, true) == std::vector{Committed::stored, Committed::stored});
  }
  CHECK(world.faults.count == 0);
}

TEST_CASE("refusal: a right, a function or a table of ours that is gone is the level's fault") {
  World world;
  Runner runner(world);
  CHECK(runner.store({"before"}, true) == std::vector{Committed::stored});
  SECTION("the right to call") { world.ask("revoke execute on function ratchet.append from ratchet_run"); }
  SECTION("the role") { world.ask("revoke ratchet_run from app"); }
  SECTION("the schema") { world.ask("revoke usage on schema ratchet from ratchet_run"); }
  SECTION("the function") { world.ask("alter function ratchet.append rename to append_no_more"); }
  SECTION("the schema by another name") { world.ask("alter schema ratchet rename to elsewhere"); }
  SECTION("a table") { world.ask("alter table ratchet.ring rename to circle"); }
  SECTION("its owner's right") {
    world.ask(
        "create role owner; alter function ratchet.append owner to owner; grant usage on schema ratchet to owner");
  }
  SECTION("the prepared statement") {
    world.ask(
        "create function public.forget() returns trigger language plpgsql as $$ begin deallocate all; return new; end "
        "$$; create trigger forget before insert on ratchet.outbox for each row execute function public.forget()");
    CHECK(runner.store({"one"}) == std::vector{Committed::stored});
  }
  CHECK(runner.store({"one", "two"}, true) == std::vector{Committed::nothing_stored, Committed::nothing_stored});
  CHECK(eventually([&] { return world.faults.count == 1; }));
}

TEST_CASE("refusal: a lease comes home outside any transaction, or it is thrown away") {
  World world(2);
  std::string pid;
  {
    auto lease = world.pool->lease(world.time.now() + 30s);
    REQUIRE(lease);
    pid = Server::must((*lease)->exec("begin; select pg_backend_pid()"));
    CHECK((*lease)->in_transaction());
  }
  CHECK(eventually([&] { return world.ask("select count(*) from pg_stat_activity where pid = " + pid) == "0"; }));
  auto next = world.pool->lease(world.time.now() + 30s);
  REQUIRE(next);
  CHECK_FALSE((*next)->in_transaction());
}
