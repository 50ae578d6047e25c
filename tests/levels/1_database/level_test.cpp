#include "levels/1_database/level.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "levels/1_database/databases.hpp"
#include "levels/1_database/schema.hpp"
#include "levels/core/together.hpp"
#include "tests/levels/1_database/pool_world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::db;
using namespace ratchet::tests;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

class NoOutcomes final : public CommitSink {
 public:
  void finished(std::unique_ptr<FinishedBatch>) override {}
};

PoolSettings outbox(PoolSettings settings, bool required = true) {
  settings.outbox = true;
  settings.required = required;
  return settings;
}

Settings only(const PoolSettings& pool) {
  Settings settings;
  settings.instance = "test";
  settings.pools[pool.name] = pool;
  return settings;
}

// The databases of a configuration with one pool; and level 1 where that is required.
struct LevelWorld {
  explicit LevelWorld(const PoolSettings& pool) : settings(only(pool)), log({LogFormat::text, 3, false}, time) {
    databases.set_sink(&sink);
    if (pool.required) level.emplace("database", std::vector<Level*>{databases.required().front()});
  }
  Result<std::unique_ptr<HeldLevel>> raise(Incarnation incarnation) {
    Patience patience(time.now() + kAges);
    return level->raise(patience, incarnation);
  }
  PoolStatus status() const { return databases.status().front(); }
  bool full() { return comes_true([this] { return status().counts.open == status().counts.wanted; }); }
  bool closed() { return status().counts.open == 0 && !databases.can_commit(); }

  const Settings settings;
  RealTime time;
  Log log;
  Metrics metrics;
  AlarmBoard alarms{time, log};
  History history;
  FaultList faults;
  NoOutcomes sink;
  Databases databases{{settings, time, log, metrics, alarms, history, faults, [] { return 0.5; }}};
  std::optional<Together> level;
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
  LevelWorld world(outbox(pool_settings(server, 4)));
  auto held = world.raise(3);
  REQUIRE_FALSE(held);
  CHECK(held.error().kind == FaultKind::schema_missing);
  CHECK(held.error().level == 1);
  CHECK(held.error().incarnation == 3);
  CHECK(held.error().text.starts_with("database main: "));
  CHECK(world.closed());
  CHECK(comes_true([&] { return sessions(server) == 0; }));
  CHECK(world.status().last_error->text ==
        "database main: schema ratchet is missing: run `ratchetd migrate`");

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

TEST_CASE("optional pool: configured before its cluster exists, it is there within 5 s of its birth, and comes back") {
  Postgres server;
  with_app(server);
  migrate_as_owner(server);
  server.stop();
  LevelWorld world(outbox(pool_settings(server, 4), false));
  world.databases.start();
  CHECK(comes_true([&] { return has(world.databases.missing().value_or(""), "connection refused"); }));
  CHECK(comes_true([&] { return world.status().next_attempt.has_value(); }));
  CHECK(has(world.status().last_error->text, "database main: connection refused (127.0.0.1:"));
  CHECK_FALSE(world.databases.can_commit());

  for (int life = 0; life < 2; ++life) {
    server.start();
    const auto born = world.time.now();
    REQUIRE(comes_true([&] { return world.databases.can_commit() && !world.databases.missing(); }));
    const std::chrono::duration<double> took = world.time.now() - born;
    CAPTURE(took.count());
    CHECK(took < 20s);  // 3 s on a machine that has time
    if (std::getenv("SHOW_TIMES") != nullptr) std::printf("optional pool served after %.1f s\n", took.count());
    CHECK_FALSE(world.status().next_attempt);
    CHECK(world.full());
    server.kill9();
    REQUIRE(comes_true([&] { return !world.databases.can_commit(); }));
    REQUIRE(comes_true([&] { return world.status().next_attempt.has_value(); }));  // let go, and said so
  }
  CHECK(world.faults.size() == 0);  // never the level's
  const auto told = world.history.list();
  CHECK(std::count_if(told.begin(), told.end(), [](const auto& e) { return e.what == "pool raised"; }) == 2);
  CHECK(std::count_if(told.begin(), told.end(), [](const auto& e) { return e.what == "pool fault"; }) == 2);
  server.start();
  REQUIRE(comes_true([&] { return world.databases.can_commit(); }));
  world.databases.stop();
  CHECK(world.closed());
  CHECK(comes_true([&] { return sessions(server) == 0; }));
}

TEST_CASE("optional pool: one whose server freezes is let go by its own probes, and stop does not wait for it") {
  Postgres server;
  with_app(server);
  migrate_as_owner(server);
  LevelWorld world(outbox(pool_settings(server, 4), false));
  world.databases.start();
  REQUIRE(comes_true([&] { return world.databases.can_commit(); }));
  REQUIRE(world.full());  // the probe has a connection of its own
  server.freeze();
  CHECK(comes_true([&] { return has(world.databases.missing().value_or(""), "no answer to the probe in time"); }));
  world.databases.stop();
  server.thaw();
}

TEST_CASE("level 1: a replica that is no outbox needs no schema") {
  Postgres server;
  with_app(server);
  server.restart_as_standby();
  auto settings = pool_settings(server, 3);
  settings.role = PoolRole::replica;
  settings.outbox = false;
  LevelWorld world(settings);
  const auto held = world.raise(1);
  REQUIRE(held);
  CHECK(world.full());
  CHECK_FALSE(world.databases.can_commit());
}

namespace {

// One for all sections, whole again whatever the one before did to it.
Postgres& mended_server() {
  static Postgres server;
  static const bool once = (with_app(server), migrate_as_owner(server), true);
  static_cast<void>(once);
  if (server.postmaster() == 0) server.start();
  server.thaw();
  server.sql("alter system reset ssl");
  server.sql("select pg_reload_conf()");
  server.sql("alter role app connection limit -1; alter role app reset default_transaction_read_only");
  server.sql("grant ratchet_run to app");
  return server;
}

}  // namespace

TEST_CASE("level 1: each fault has its kind and its text") {
  Postgres& server = mended_server();
  const std::string place = " (127.0.0.1:" + std::to_string(server.port()) + ")";
  auto settings = outbox(pool_settings(server, 3));
  const auto fault = [&] {
    LevelWorld world(settings);
    const auto held = world.raise(1);
    return held ? Fault{1, 1, FaultKind::unknown, "no fault", {}} : held.error();
  };
  const auto says = [&](FaultKind kind, const std::string& text) {
    const Fault found = fault();
    CHECK(to_string(found.kind) == to_string(kind));
    CHECK(found.text == "database main: " + text);
  };
  SECTION("nobody there") {
    server.stop();
    says(FaultKind::refused, "connection refused" + place);
  }
  SECTION("frozen") {
    server.freeze_postmaster();
    const Fault found = fault();
    CHECK(found.kind == FaultKind::timed_out);
    CHECK(has(found.text, "database main: no answer within 2"));
    CHECK(has(found.text, " ms" + place));
    server.thaw();
  }
  SECTION("a name that does not exist") {
    settings.dsn = "host=nowhere.invalid dbname=app user=app";
    const Fault found = fault();
    CHECK(found.kind == FaultKind::name_resolution);
    CHECK(has(found.text, "database main: cannot resolve nowhere.invalid: "));
  }
  SECTION("no TLS there") {
    settings.dsn += " sslmode=require";
    says(FaultKind::tls, "server does not support SSL, but SSL was required" + place);
  }
  SECTION("a certificate of somebody else") {
    const std::string cert = server.folder() + "/cert.pem", key = server.folder() + "/key.pem";
    const std::string make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=db.example -days 2 -keyout " + key +
                             " -out " + cert + " 2>/dev/null && chmod 600 " + key + " && chown --reference=" +
                             server.folder() + "/data " + key + " " + cert;
    REQUIRE(std::system(make.c_str()) == 0);
    for (const auto& set : {"ssl_cert_file = '" + cert + "'", "ssl_key_file = '" + key + "'", std::string("ssl = on")})
      server.sql("alter system set " + set);
    server.restart();
    settings.dsn += " sslmode=verify-full sslrootcert=" + cert;
    says(FaultKind::tls, "server certificate for \"db.example\" does not match host name \"127.0.0.1\"" + place);
    settings.dsn.replace(settings.dsn.find("verify-full"), 11, "verify-ca");
    LevelWorld world(settings);
    CHECK(world.raise(1));
  }
  SECTION("wrong password") {
    settings.password = Secret(Secret::Kind::inline_text, "wr0ng");
    says(FaultKind::authentication, "FATAL: password authentication failed for user \"app\"" + place);
  }
  SECTION("no such database") {
    settings.dsn = server.dsn("elsewhere", "app");
    says(FaultKind::authentication, "FATAL: database \"elsewhere\" does not exist" + place);
  }
  SECTION("no connection left, not one") {
    server.sql("alter role app connection limit 0");
    says(FaultKind::too_many_connections, "FATAL: too many connections for role \"app\"" + place);
  }
  SECTION("read-only by configuration") {
    server.sql("alter role app set default_transaction_read_only = on");
    says(FaultKind::read_only,
         "the server is read-only (a standby, or default_transaction_read_only), a primary is needed" + place);
  }
  SECTION("a standby") {
    server.restart_as_standby();
    says(FaultKind::read_only,
         "the server is read-only (a standby, or default_transaction_read_only), a primary is needed" + place);
    server.promote();
  }
  SECTION("a schema of another time") {
    const auto version = [&](int number) {
      server.sql("create or replace function ratchet.version() returns int language sql as 'select " +
                     std::to_string(number) + "'",
                 "app");
    };
    version(kSchemaOldest - 1);
    says(FaultKind::schema_older, "schema ratchet has version " + std::to_string(kSchemaOldest - 1) +
                                      ", this program needs " + std::to_string(kSchemaOldest) +
                                      ": run `ratchetd migrate`");
    version(kSchemaNewest + 1);
    says(FaultKind::schema_newer, "schema ratchet has version " + std::to_string(kSchemaNewest + 1) +
                                      ", this program needs at most " + std::to_string(kSchemaNewest) +
                                      ": install a newer ratchetd");
    version(kSchemaNewest);
  }
  SECTION("a right that is missing") {
    server.sql("revoke ratchet_run from app");
    says(FaultKind::authorisation, "no right to use schema ratchet: grant ratchet_run to \"app\"");
  }
}
