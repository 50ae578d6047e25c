#include "levels/1_database/schema.hpp"

#include <thread>

#include "tests/levels/1_database/world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

std::optional<FaultKind> kind_of(const Result<Nothing>& verified) {
  if (verified) return std::nullopt;
  return verified.error().kind;
}

}  // namespace

TEST_CASE("schema: migrating twice changes nothing the second time") {
  Server server;
  auto owner = server.connect();
  auto first = db::migrate(*owner);
  REQUIRE(first);
  REQUIRE(first->size() == db::migrations().size());
  CHECK(first->front() == "1 base: applied");
  const std::string everything =
      "select md5(string_agg(oid::text || '/' || relfilenode, ',' order by oid)) from pg_class where relnamespace = "
      "'ratchet'::regnamespace";
  const auto before = server.ask(everything);
  auto second = db::migrate(*owner);
  REQUIRE(second);
  REQUIRE(second->size() == 1);
  CHECK(second->front().find("nothing to do") != std::string::npos);
  CHECK(server.ask(everything) == before);
  CHECK(server.ask("select ratchet.version()") == std::to_string(db::kSchemaNewest));
  CHECK(Server::must(owner->exec("show lock_timeout")) == "20s");  // the session is as it was
  CHECK(server.ask("select rolcanlogin from pg_roles where rolname = 'ratchet_run'") == "f");
}

TEST_CASE("schema: four that migrate at once end with one schema and no error") {
  Server server;
  std::vector<std::unique_ptr<db::Connection>> owners;
  for (int i = 0; i < 4; ++i)
    owners.push_back(server.connect());
  std::vector<std::string> wrong(4);
  std::vector<std::size_t> applied(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      auto done = db::migrate(*owners[i]);
      if (!done) {
        wrong[i] = done.error().text;
      } else {
        for (const auto& line : *done)
          applied[i] += line.find("applied") != std::string::npos;
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  for (const auto& text : wrong)
    CHECK(text.empty());
  CHECK(applied[0] + applied[1] + applied[2] + applied[3] == db::migrations().size());
  CHECK(server.ask("select count(*) from ratchet.migration") == std::to_string(db::migrations().size()));
}

TEST_CASE("schema: databases of one server may be migrated at the same moment") {
  Server server;
  std::vector<std::unique_ptr<db::Connection>> owners;
  for (int i = 0; i < 4; ++i) {
    server.postgres.create_database("d" + std::to_string(i));
    owners.push_back(server.connect("postgres", "d" + std::to_string(i)));
  }
  std::vector<std::string> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      if (auto done = db::migrate(*owners[i]); !done) wrong[i] = done.error().text;
    });
  }
  for (auto& thread : threads)
    thread.join();
  for (const auto& text : wrong)
    CHECK(text.empty());
}

TEST_CASE("schema: an owner who is no superuser can migrate") {
  Server server;
  server.ask("create role boss login createrole");
  server.postgres.create_database("shop", "boss");
  auto owner = server.connect("boss", "shop");
  auto done = db::migrate(*owner);
  if (!done) FAIL(done.error().text);
  CHECK(db::verify_schema(*owner));
  CHECK(Server::must(owner->exec("select epoch from ratchet.relay_acquire('me', '1 s')")) == "1");
  CHECK(Server::must(owner->exec("select ratchet.outbox_reclaim(1)")).empty());
}

TEST_CASE("schema: a migration that fails leaves the version before it") {
  Server server;
  server.ask("create schema ratchet; create table ratchet.outbox ()");  // somebody else's
  auto owner = server.connect();
  auto done = db::migrate(*owner);
  REQUIRE(!done);
  CHECK(done.error().text.find("migration 1 base") != std::string::npos);
  CHECK(server.ask("select count(*) from pg_tables where schemaname = 'ratchet'") == "1");
  server.ask("drop schema ratchet cascade");
  CHECK(db::migrate(*owner));  // the lock is not held any more, the session is usable
}

TEST_CASE("schema: a migration whose text has changed is refused") {
  Server server;
  server.migrate();
  server.ask("update ratchet.migration set checksum = 'another' where version = 3");
  auto owner = server.connect();
  auto done = db::migrate(*owner);
  REQUIRE(!done);
  CHECK(done.error().text.find("migration 3") != std::string::npos);
}

TEST_CASE("schema: what is wrong with it is told apart") {
  Server server;
  server.ask("create role app login");
  auto app = server.connect("app");
  auto missing = db::verify_schema(*app);
  CHECK(kind_of(missing) == FaultKind::schema_missing);
  CHECK(missing.error().text.find("ratchetd migrate") != std::string::npos);

  server.ask("create schema ratchet");
  CHECK(kind_of(db::verify_schema(*app)) == FaultKind::schema_missing);
  server.ask("drop schema ratchet");

  auto owner = server.connect();
  REQUIRE(db::migrate(*owner));
  auto denied = db::verify_schema(*app);
  CHECK(kind_of(denied) == FaultKind::authorisation);
  CHECK(denied.error().text.find("grant ratchet_run to \"app\"") != std::string::npos);

  server.ask("grant ratchet_run to app");
  CHECK(!kind_of(db::verify_schema(*app)));

  server.ask("revoke execute on function ratchet.append from ratchet_run");
  auto no_append = db::verify_schema(*app);
  CHECK(kind_of(no_append) == FaultKind::authorisation);
  CHECK(no_append.error().text.find("ratchet.append") != std::string::npos);
  server.ask("grant execute on function ratchet.append to ratchet_run");

  server.ask("insert into ratchet.migration (version, name, checksum) values (99, 'later', '')");
  CHECK(kind_of(db::verify_schema(*app)) == FaultKind::schema_newer);
  CHECK(!db::migrate(*owner));
  server.ask("delete from ratchet.migration where version > 3");
  auto older = db::verify_schema(*app);
  CHECK(kind_of(older) == FaultKind::schema_older);
  CHECK(older.error().text.find("version 3") != std::string::npos);
}

TEST_CASE("schema: the run role calls our functions and touches no table") {
  Server server;
  server.migrate();
  auto app = server.connect("app");
  const auto denied = [&](const std::string& sql) {
    auto done = app->exec(sql);
    return !done && done.error().sqlstate == "42501";
  };
  for (const char* table : {"outbox", "outbox_0", "outbox_3", "ring", "relay", "idem_0", "idem_1", "idem_2",
                            "migration", "dead_letter", "dead_letter_count"}) {
    INFO(table);
    CHECK(denied(std::string("select * from ratchet.") + table));
    CHECK(denied(std::string("delete from ratchet.") + table));
    CHECK(denied(std::string("truncate ratchet.") + table));
  }
  CHECK(denied("insert into ratchet.outbox (slot, topic) values (0, 't')"));
  CHECK(denied("update ratchet.relay set epoch = 9"));
  CHECK(denied("select nextval('ratchet.outbox_seq')"));
  CHECK(denied("select ratchet.idem_take_0(1, false, null, null, null)"));
  CHECK(denied("create table ratchet.mine ()"));

  for (const char* allowed :
       {"select ratchet.version()", "select ratchet.emit('t', 'k', 'p')", "select ratchet.nudge()",
        "select * from ratchet.outbox_stats()", "select ratchet.idem_rotate()",
        "select * from ratchet.relay_acquire('me', '10 s')", "select ratchet.relay_beat(1, '10 s')",
        "select * from ratchet.relay_read('1:1:', null, -1, null, 10)",
        "select ratchet.relay_advance(1, '10 s', '2:2:')", "select ratchet.outbox_reclaim(1)",
        "select ratchet.relay_release(1)", "select * from ratchet.dead_list()", "select ratchet.dead_replay('{1}')",
        "select ratchet.dead_discard('{1}')",
        "select * from ratchet.append(null, null, null, '{t}', '{k}', '{\"{}\"}', '{p}')"}) {
    INFO(allowed);
    auto done = app->exec(allowed);
    CHECK((done ? std::string() : done.error().text).empty());
  }
  // Everybody else may do nothing at all.
  server.ask("create role stranger login");
  auto stranger = server.connect("stranger");
  CHECK(!stranger->exec("select ratchet.emit('t', 'k', 'p')"));
  CHECK(server.ask("select count(*) from pg_proc p where pronamespace = 'ratchet'::regnamespace and "
                   "has_function_privilege('stranger', p.oid, "
                   "'execute')") == "0");
}
