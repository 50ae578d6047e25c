#include "levels/1_database/pool.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/levels/1_database/pool_world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::db;
using namespace ratchet::tests;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string value(Connection& connection, const std::string& sql) {
  auto rows = connection.exec(sql);
  return rows ? std::string(rows->text(0, 0)) : "error: " + rows.error().text;
}

// Fails the test, but not before `world` can clean up.
Lease must_lease(PoolWorld& world) {
  auto lease = world.pool.lease(world.time.now() + kAges);
  if (!lease) throw std::runtime_error("no lease");
  return *std::move(lease);
}

std::string metric(PoolWorld& world, const std::string& line) {
  const std::string all = world.metrics.render();
  const auto at = all.find("\n" + line);
  if (at == std::string::npos) return "";
  const auto from = at + 1 + line.size() + 1;
  return all.substr(from, all.find('\n', from) - from);
}

}  // namespace

TEST_CASE("pool: before open and after close there is no lease, and open works again") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 4));
  for (Incarnation incarnation = 1; incarnation <= 3; ++incarnation) {
    auto early = world.pool.lease(world.time.now() + kAges);
    REQUIRE_FALSE(early);
    CHECK(early.error() == LeaseError::not_connected);
    REQUIRE(world.open(incarnation));
    {
      auto lease = must_lease(world);
      CHECK(value(*lease, "select current_setting('application_name')") == "ratchetd test");
    }
    CHECK(world.full());
    CHECK(comes_true([&] { return sessions(server) == 4; }));
    CHECK_FALSE(world.probe(kAges));
    world.close();
    world.close();
    CHECK(comes_true([&] { return sessions(server) == 0; }));
  }
  CHECK(world.faults.size() == 0);
}

TEST_CASE("pool: why it cannot be opened is told with its name, and nothing is left behind") {
  Postgres& server = the_server();
  auto settings = pool_settings(server, 4);
  auto fails_with = [&](FaultKind kind, const std::string& part) {
    PoolWorld world(settings);
    auto opened = world.open(7);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().kind == kind);
    CHECK(opened.error().level == 1);
    CHECK(opened.error().incarnation == 7);
    CHECK(has(opened.error().text, "database main: "));
    CHECK(has(opened.error().text, part));
    CHECK_FALSE(has(opened.error().text, "wr0ng"));
    CHECK(world.faults.size() == 0);
    CHECK(comes_true([&] { return sessions(server) == 0; }));
  };
  SECTION("nobody there") {
    server.stop();
    PoolWorld world(settings);
    auto opened = world.open(1);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().text ==
          "database main: connection refused (127.0.0.1:" + std::to_string(server.port()) + ")");
  }
  SECTION("wrong password") {
    settings.password = Secret(Secret::Kind::inline_text, "wr0ng");
    fails_with(FaultKind::authentication, "database main: FATAL: password authentication failed for user \"app\" (127.0.0.1:");
  }
  SECTION("unreadable secret") {
    settings.password = Secret(Secret::Kind::file, "/nonexistent/secret");
    fails_with(FaultKind::authentication, "cannot read secret file /nonexistent/secret");
  }
  SECTION("a standby") {
    server.restart_as_standby();
    fails_with(FaultKind::read_only, "standby");
    server.promote();
    PoolWorld world(settings);
    CHECK(world.open(1));
  }
  SECTION("a frozen postmaster") {
    server.freeze_postmaster();
    PoolWorld world(settings);
    auto opened = world.open(1, 300ms);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().kind == FaultKind::timed_out);
    server.thaw();
  }
}

TEST_CASE("pool: a secret file is read anew at each open") {
  Postgres& server = the_server();
  const std::string file = server.folder() + "/secret";
  auto write = [&](const std::string& text) { std::ofstream(file, std::ios::trunc) << text << '\n'; };
  write("old");
  auto settings = pool_settings(server, 2);
  settings.password = Secret(Secret::Kind::file, file);
  PoolWorld world(settings);
  auto first = world.open(1);
  REQUIRE_FALSE(first);
  CHECK(first.error().kind == FaultKind::authentication);
  write("right");
  CHECK(world.open(2));
}

TEST_CASE("pool: a killed connection is replaced while others serve") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 4));
  REQUIRE(world.open(1));
  REQUIRE(world.full());

  SECTION("idle ones") {
    auto kept = must_lease(world);
    const auto pid = kept->backend();
    CHECK(server.terminate_backends("usename = 'app' and pid <> " + std::to_string(pid)) == 3);
    CHECK(comes_true([&] { return sessions(server) == 4 && world.pool.counts().open == 4; }));
    CHECK(value(*kept, "select 1") == "1");
  }
  SECTION("a lent one, whose user learns why") {
    auto lease = must_lease(world);
    const auto pid = lease->backend();
    CHECK(server.terminate_backends("pid = " + std::to_string(pid)) == 1);
    const auto rows = lease->exec("select 1");
    REQUIRE_FALSE(rows);
    CHECK(rows.error().kind == SqlError::Kind::lost);
    world.pool.report(rows.error());
  }
  SECTION("a lent one that is not used: replaced all the same") {
    auto lease = must_lease(world);
    CHECK(server.terminate_backends("pid = " + std::to_string(lease->backend())) == 1);
    CHECK(comes_true([&] { return sessions(server) == 4; }));
    CHECK(lease->exec("select 1").error().kind == SqlError::Kind::lost);
  }
  SECTION("the probe's own") {
    for (int i = 0; i < 3; ++i) {
      server.terminate_backends("usename = 'app'");
      CHECK_FALSE(world.probe(kAges));
    }
  }
  SECTION("all at once, while the server lives: one reconnect is enough") {
    CHECK(server.terminate_backends("usename = 'app'") == 4);
  }
  CHECK(world.full());
  CHECK_FALSE(world.probe(kAges));
  CHECK(value(*must_lease(world), "select 1") == "1");
  CHECK(world.faults.size() == 0);
}

TEST_CASE("pool: a dead server is one fault of the incarnation, soon, and open works when it is back") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 4));
  for (Incarnation incarnation = 5; incarnation <= 6; ++incarnation) {
    REQUIRE(world.open(incarnation));
    REQUIRE(world.full());
    std::optional<Lease> lent;
    if (incarnation == 6) lent.emplace(must_lease(world));  // one that nobody uses just now
    const auto killed = world.time.now();
    server.kill9();
    REQUIRE(comes_true([&] { return world.faults.size() == incarnation - 4; }));
    const auto fault = world.faults.all().back();
    const std::chrono::duration<double, std::milli> took = fault.since - killed;
    CAPTURE(took.count());
    CHECK(took < 20s);  // milliseconds, on a machine that has time
    if (std::getenv("SHOW_TIMES") != nullptr) std::printf("fault after %.1f ms\n", took.count());
    CHECK(fault.level == 1);
    CHECK(fault.incarnation == incarnation);
    CHECK(fault.kind == FaultKind::refused);
    CHECK(has(fault.text, "database main: connection refused (127.0.0.1:"));
    auto late = world.pool.lease(world.time.now() + kAges);
    REQUIRE_FALSE(late);
    CHECK(late.error() == LeaseError::not_connected);
    CHECK(world.probe(kAges));
    lent.reset();
    world.close();
    CHECK_FALSE(world.open(100));  // leaves it closed
    server.start();
  }
  CHECK(world.faults.size() == 2);
  CHECK(world.open(7));
}

TEST_CASE("pool: waiting callers are told at once when the server dies") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 2));
  REQUIRE(world.open(1));
  auto only = must_lease(world);
  std::optional<LeaseError> told;
  std::thread waiting([&] {
    auto lease = world.pool.lease(world.time.now() + 1h);
    if (!lease) told = lease.error();
  });
  REQUIRE(comes_true([&] { return metric(world, "db_client_connection_pending_requests{pool=\"main\"}") == "1"; }));
  server.kill9();
  waiting.join();
  CHECK(told == LeaseError::not_connected);
}

TEST_CASE("pool: a frozen server misses its probes, and calls are cut when they are due") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 4));
  REQUIRE(world.open(1));
  REQUIRE(world.full());
  auto lease = must_lease(world);
  server.freeze();

  for (int i = 0; i < 2; ++i) {
    const auto miss = world.probe(200ms);
    REQUIRE(miss);
    CHECK(miss->kind == FaultKind::timed_out);
    CHECK(miss->incarnation == 1);
    CHECK(has(miss->text, "database main: "));
  }
  lease.allow_until(world.time.now() + 50ms);
  const auto rows = lease->exec("select 1");
  REQUIRE_FALSE(rows);
  CHECK(rows.error().kind == SqlError::Kind::lost);
  CHECK(fault_kind(rows.error()) == FaultKind::timed_out);
  server.thaw();
}

TEST_CASE("pool: a call without a deadline is cut after the pool's statement patience") {
  Postgres& server = the_server();
  auto settings = pool_settings(server, 2);
  settings.statement = 300ms;
  PoolWorld world(settings);
  REQUIRE(world.open(1));
  auto lease = must_lease(world);

  const auto slow = lease->exec("select pg_sleep(3600)");  // the server ends it itself
  REQUIRE_FALSE(slow);
  CHECK(slow.error().kind == SqlError::Kind::said);
  CHECK(slow.error().sqlstate == "57014");

  server.freeze();
  const auto rows = lease->exec("select 1");
  REQUIRE_FALSE(rows);
  CHECK(rows.error().kind == SqlError::Kind::lost);
  server.thaw();
}

TEST_CASE("pool: one connection is kept for the probe, the others are lent first come, first served") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 3));
  REQUIRE(world.open(1));
  REQUIRE(world.full());
  std::vector<Lease> lent;
  lent.push_back(must_lease(world));
  lent.push_back(must_lease(world));
  auto none = world.pool.lease(world.time.now() + 30ms);
  REQUIRE_FALSE(none);
  CHECK(none.error() == LeaseError::timed_out);
  CHECK(metric(world, "db_client_connection_timeouts_total{pool=\"main\"}") == "1");
  CHECK(metric(world, "db_client_connection_count{pool=\"main\",state=\"used\"}") == "2");
  CHECK(metric(world, "db_client_connection_count{pool=\"main\",state=\"idle\"}") == "1");
  CHECK(metric(world, "db_client_connection_max{pool=\"main\"}") == "3");
  CHECK_FALSE(world.probe(kAges));

  std::mutex mutex;
  std::vector<int> order;
  std::vector<std::thread> waiting;
  for (int i = 0; i < 5; ++i) {
    waiting.emplace_back([&, i] {
      auto lease = must_lease(world);
      std::lock_guard lock(mutex);
      order.push_back(i);
    });
    const std::string n = std::to_string(i + 1);
    REQUIRE(comes_true([&] { return metric(world, "db_client_connection_pending_requests{pool=\"main\"}") == n; }));
  }
  lent.pop_back();
  for (auto& thread : waiting) thread.join();
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("pool: close waits for what is lent, and cuts it when patience ends") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 3));
  REQUIRE(world.open(1));
  std::optional<Lease> lease(must_lease(world));

  SECTION("given back in time") {
    bool answered = false;  // Catch2's assertions are for the main thread only
    std::thread user([&] {
      answered = static_cast<bool>((*lease)->exec("select pg_sleep(0.2)"));
      lease.reset();
    });
    REQUIRE(comes_true([&] { return server.sql("select count(*) from pg_stat_activity where query like '%pg_sleep(0.2)%' and pid <> pg_backend_pid()") != "0\n"; }));
    world.close();
    user.join();
    CHECK(answered);
  }
  SECTION("not given back: cut, and thrown away when it comes home") {
    std::optional<SqlError> told;
    std::thread user([&] {
      const auto rows = (*lease)->exec("select pg_sleep(3600)");
      if (!rows) told = rows.error();
    });
    REQUIRE(comes_true([&] { return server.sql("select count(*) from pg_stat_activity where query like '%pg_sleep(3600)%' and pid <> pg_backend_pid()") != "0\n"; }));
    world.close(50ms);
    user.join();
    REQUIRE(told);
    CHECK(told->kind == SqlError::Kind::lost);
    REQUIRE(world.open(2));
    REQUIRE(world.full());
    lease.reset();
    CHECK(world.pool.counts().open == 3);
  }
  SECTION("patience that shrinks meanwhile") {
    Patience patience(world.time.now() + 1h);
    std::thread closing([&] { world.pool.close(patience); });
    patience.shrink_to(world.time.now());
    closing.join();
    CHECK((*lease)->exec("select 1").error().kind == SqlError::Kind::lost);
    lease.reset();
  }
}

TEST_CASE("pool: when the server has no connection left it keeps what it has, and says so") {
  Postgres& server = the_server();
  server.sql("alter role app connection limit 2");
  PoolWorld world(pool_settings(server, 6));
  REQUIRE(world.open(1));
  REQUIRE(comes_true([&] { return world.alarms.list().size() == 1; }));
  CHECK(world.alarms.list()[0].id == "pool.main.too-many");
  CHECK(comes_true([&] { return world.pool.degraded().value_or("").starts_with("2 of 6 connections: "); }));
  CHECK(value(*must_lease(world), "select 1") == "1");
  CHECK_FALSE(world.probe(kAges));
  CHECK(world.faults.size() == 0);

  server.sql("alter role app connection limit -1");
  CHECK(world.full());  // within the backoff's cap
  CHECK(comes_true([&] { return world.alarms.list().empty(); }));
  CHECK_FALSE(world.pool.degraded());
}

TEST_CASE("pool: a pool of one connection shares it with the probe") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 1));
  REQUIRE(world.open(1));
  CHECK_FALSE(world.probe(kAges));
  auto lease = must_lease(world);
  CHECK_FALSE(world.probe(50ms));
  CHECK(value(*lease, "select 1") == "1");
}

TEST_CASE("pool: a standby is a fault, told by the user, the probe or the next connection") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 3));
  REQUIRE(world.open(3));
  REQUIRE(world.full());
  SECTION("told by a user") {
    auto lease = must_lease(world);
    const auto rows = lease->exec("set transaction_read_only = on; create table t()");
    REQUIRE_FALSE(rows);
    world.pool.report(rows.error());
    world.pool.report(rows.error());
  }
  SECTION("the server comes back as one") {
    server.restart_as_standby();
    server.promote();
  }
  REQUIRE(comes_true([&] { return world.faults.size() == 1; }));
  const auto fault = world.faults.all()[0];
  CHECK((fault.kind == FaultKind::read_only || fault.kind == FaultKind::refused));
  CHECK(fault.incarnation == 3);
  CHECK(world.pool.lease(world.time.now() + kAges).error() == LeaseError::not_connected);
}

TEST_CASE("pool: of several servers the one of the right role is taken, by replacements too") {
  Postgres& primary = the_server();
  Postgres standby;
  with_app(standby);
  standby.restart_as_standby();
  const auto settings_for = [&](PoolRole role) {
    auto settings = pool_settings(primary, 3);
    settings.role = role;
    const Postgres& wrong = role == PoolRole::primary ? standby : primary;
    const Postgres& right = role == PoolRole::primary ? primary : standby;
    settings.dsn = "host=127.0.0.1,127.0.0.1 port=" + std::to_string(wrong.port()) + "," +
                   std::to_string(right.port()) + " dbname=app user=app";
    return settings;
  };
  for (const PoolRole role : {PoolRole::primary, PoolRole::replica}) {
    Postgres& right = role == PoolRole::primary ? primary : standby;
    PoolWorld world(settings_for(role));
    REQUIRE(world.open(1));
    REQUIRE(world.full());
    CHECK(must_lease(world)->where() == "127.0.0.1:" + std::to_string(right.port()));
    CHECK_FALSE(world.probe(kAges));
    right.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'");
    CHECK(world.full());
    CHECK_FALSE(world.probe(kAges));
    CHECK(world.faults.size() == 0);
  }
  SECTION("and where there is none, the text says what is wrong") {
    auto settings = pool_settings(standby, 3);
    PoolWorld world(settings);
    const auto opened = world.open(1);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().kind == FaultKind::read_only);
    CHECK(opened.error().text ==
          "database main: the server is read-only (a standby, or default_transaction_read_only), a primary is needed"
          " (127.0.0.1:" + std::to_string(standby.port()) + ")");
    settings = pool_settings(primary, 3);
    settings.role = PoolRole::replica;
    PoolWorld other(settings);
    const auto second = other.open(1);
    REQUIRE_FALSE(second);
    CHECK(second.error().kind == FaultKind::read_only);
    CHECK(second.error().text == "database main: the server is a primary, a replica is needed (127.0.0.1:" +
                                     std::to_string(primary.port()) + ")");
  }
}

TEST_CASE("pool: a replacement that is read-only is no fault while others serve") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 3));
  REQUIRE(world.open(1));
  REQUIRE(world.full());
  server.sql("alter role app set default_transaction_read_only = on");  // of sessions that begin from now on
  auto kept = must_lease(world);
  server.sql("select pg_terminate_backend(pid) from (select pid from pg_stat_activity where usename = 'app' and pid <> " +
             std::to_string(kept->backend()) + " limit 1) as one");
  CHECK(comes_true([&] { return has(world.pool.degraded().value_or(""), "read-only"); }));
  CHECK(kept->exec("create temporary table t()"));
  CHECK(world.faults.size() == 0);
  server.sql("alter role app reset default_transaction_read_only");
  CHECK(world.full());
  CHECK(world.faults.size() == 0);
}

TEST_CASE("pool: a server that becomes read-only is a fault at the next probe") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 3));
  REQUIRE(world.open(1));
  REQUIRE_FALSE(world.probe(kAges));
  server.sql("alter system set default_transaction_read_only = on");
  server.sql("select pg_reload_conf()");
  std::optional<Fault> fault;
  CHECK(comes_true([&] { return (fault = world.probe(kAges)).has_value(); }));
  server.sql("set default_transaction_read_only = off; alter system reset default_transaction_read_only");
  server.sql("select pg_reload_conf()");
  REQUIRE(fault);
  CHECK(fault->kind == FaultKind::read_only);
  CHECK(fault->text == "database main: the server is read-only (default_transaction_read_only), a primary is needed"
                       " (127.0.0.1:" + std::to_string(server.port()) + ")");
}

TEST_CASE("pool: without a thread it is not opened, and that is a fault") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 3));
  {
    const NoMoreThreads none;
    const auto opened = world.open(1);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().kind == FaultKind::out_of_files);
    CHECK(has(opened.error().text, "database main: no thread for the pool: "));
  }
  CHECK(world.open(2));
  CHECK(world.full());
}

TEST_CASE("pool: a call is cut when the patience that binds it shrinks") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 3));
  REQUIRE(world.open(1));
  auto lease = must_lease(world);
  Patience patience(world.time.now() + 1h);
  lease.allow_until(patience.deadline());
  lease.bound_by(&patience);
  std::optional<SqlError> told;
  std::thread user([&] {
    const auto rows = lease->exec("set statement_timeout = 0; select pg_sleep(7200)");
    if (!rows) told = rows.error();
  });
  REQUIRE(comes_true([&] { return server.sql("select count(*) from pg_stat_activity where query like '%sleep(7200)%' and pid <> pg_backend_pid()") != "0\n"; }));
  patience.shrink_to(world.time.now());
  user.join();
  REQUIRE(told);
  CHECK(told->kind == SqlError::Kind::lost);
  CHECK(world.faults.size() == 0);
  server.terminate_backends("query like '%sleep(7200)%'");  // it does not know yet that nobody listens
}

TEST_CASE("pool: what is one connection's own matter is no fault") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 2));
  REQUIRE(world.open(1));
  for (const char* state : {"", "23505", "57P01", "57014", "40001", "08006"}) {
    world.pool.report({SqlError::Kind::lost, state, "x"});
  }
  for (const char* state : {"57P02", "57P03", "57P04", "08006", "40003"})
    world.pool.report({SqlError::Kind::said, state, "x"});
  CHECK(world.faults.size() == 0);
  world.pool.report({SqlError::Kind::lost, "57P02", "the server goes down"});
  CHECK(world.faults.size() == 1);
}

TEST_CASE("pool: connections are retired by age, while others serve") {
  Postgres& server = the_server();
  auto settings = pool_settings(server, 3);
  settings.lifetime = seconds(1);
  PoolWorld world(settings);
  REQUIRE(world.open(1));
  REQUIRE(world.full());
  // By time, not by pid: pids start again from the bottom.
  auto newest = server.sql("select max(backend_start) from pg_stat_activity where usename = 'app'");
  newest.pop_back();
  CHECK(comes_true([&] {
    return server.sql("select count(*) = 3 and min(backend_start) > '" + newest +
                      "' from pg_stat_activity where usename = 'app'") == "t\n";
  }));
  CHECK(world.faults.size() == 0);
  CHECK(world.full());
}

TEST_CASE("pool: a rolling reconnect replaces every connection one by one while others serve") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 4));
  CHECK(world.pool.reconnect() == 0);
  REQUIRE(world.open(1));
  REQUIRE(world.full());
  std::optional<Lease> kept(must_lease(world));
  CHECK_FALSE(kept->old());
  auto newest = server.sql("select max(backend_start) from pg_stat_activity where usename = 'app'");
  newest.pop_back();
  const auto new_ones = [&] {
    return server.sql("select count(*) from pg_stat_activity where usename = 'app' and backend_start > '" + newest +
                      "'");
  };
  int fewest = 4;
  CHECK(world.pool.reconnect() == 4);
  CHECK(comes_true([&] {
    fewest = std::min(fewest, world.pool.counts().open);
    return new_ones() == "3\n";
  }));
  CHECK(fewest >= 3);
  CHECK(comes_true([&] { return kept->old(); }));  // whoever keeps one sees that it is time
  CHECK(value(**kept, "select 1") == "1");
  kept.reset();
  CHECK(comes_true([&] { return new_ones() == "4\n"; }));
  CHECK(world.full());
  CHECK(world.faults.size() == 0);
}

TEST_CASE("pool: errors are counted by kind, a code nobody knows as unknown") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 2));
  REQUIRE(world.open(1));
  const auto told = [&](const char* state) { world.pool.report({SqlError::Kind::said, state, "x"}); };
  told("ZZ123");
  told("23505");
  told("57014");
  told("53100");
  for (const char* kind : {"unknown", "statement", "timed_out", "disk_full"}) {
    CAPTURE(kind);
    CHECK(metric(world, "ratchet_database_errors_total{kind=\"" + std::string(kind) + "\",pool=\"main\"}") == "1");
  }
  REQUIRE(world.alarms.list().size() == 1);
  CHECK(world.alarms.list()[0].id == "pool.main.disk-full");
  CHECK(world.alarms.list()[0].text == "database main: x (127.0.0.1:" + std::to_string(server.port()) + ")");
  world.pool.stored();
  CHECK(world.alarms.list().empty());
  CHECK(world.faults.size() == 0);
}

TEST_CASE("pool: many users at once, while connections are killed") {
  Postgres& server = the_server();
  PoolWorld world(pool_settings(server, 5));
  REQUIRE(world.open(1));
  std::atomic<bool> enough{false};
  std::atomic<int> good{0}, lost{0}, other{0};
  std::vector<std::thread> users;
  for (int i = 0; i < 8; ++i) {
    users.emplace_back([&] {
      while (!enough) {
        auto lease = world.pool.lease(world.time.now() + 10s);
        if (!lease) {
          ++other;
          continue;
        }
        lease->allow_until(world.time.now() + 10s);
        const auto rows = (*lease)->exec("select 1");
        if (rows) ++good;
        else if (rows.error().kind == SqlError::Kind::lost) ++lost;
        else ++other;
      }
    });
  }
  bool serving = true;
  for (int i = 0; i < 10 && serving && world.full(); ++i) {
    server.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app' order by random() limit 2");
    const int before = good;
    serving = comes_true([&] { return good > before + 20 || world.faults.size() > 0; }) && world.faults.size() == 0;
  }
  enough = true;
  for (auto& user : users) user.join();
  const auto faults = world.faults.all();
  const std::string why = faults.empty() ? "" : faults[0].text;
  CAPTURE(why);
  CHECK(serving);
  CHECK(world.full());
  CHECK(lost > 0);
  CHECK(other == 0);
  CHECK(world.faults.size() == 0);
}
