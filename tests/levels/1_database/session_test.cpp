// Whatever a role has for a default, our statements mean the same: each setting the server has is tried.
#include <map>
#include <set>

#include "levels/1_database/batch.hpp"
#include "levels/1_database/commit_attempt.hpp"
#include "levels/1_database/outbox.hpp"
#include "levels/1_database/session_settings.hpp"
#include "tests/levels/1_database/world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

db::Uuid uuid_of(std::uint8_t n) {
  db::Uuid id{};
  id.fill(n);
  return id;
}

// What does not stay as it must be, in words; empty: all does. `n` is new in each call.
std::string wrong_with(Server& server, std::uint8_t n) {
  auto failed = [](const std::string& what, const db::SqlError& error) {
    return what + ": " + error.sqlstate + " " + error.text;
  };
  Patience patience(server.time.now() + 30s);
  auto made =
      db::Connection::connect({server.postgres.socket_dsn("postgres", "app"), "test", 20s}, patience, server.time);
  if (!made) return "connect: " + made.error().text;
  auto& connection = **made;
  if (auto error = db::prepare_append(connection)) return failed("prepare", *error);
  const std::string print(32, '1'), payload = "{\"n\": " + std::to_string(n) + "}";
  db::Batch batch;
  db::Event event{};
  event.idempotency = uuid_of(n);
  event.fingerprint = print;
  event.reply = "the reply";
  event.topic = "t";
  event.key = "k\\001";
  event.headers = "{\"a\": \"b\"}";
  event.payload = payload;
  batch.add(event, 1);
  for (const bool again : {false, true}) {
    auto stored = connection.exec_prepared("ratchet_append", batch.parameters());
    if (!stored) return failed("append", stored.error());
    if (stored->size() != (again ? 1u : 0u)) return again ? "not seen as a duplicate" : "seen as a duplicate";
    if (again && stored->bytes(0, 2) != "the reply") return "another reply: " + stored->bytes(0, 2);
  }
  db::Outbox outbox(connection);
  if (auto prepared = outbox.prepare(); !prepared) return failed("prepare relay", prepared.error());
  auto lease = outbox.acquire("me", 10s);
  if (!lease) return failed("acquire", lease.error());
  if (!*lease) return "no lease";
  auto stats = outbox.stats();
  if (!stats) return failed("stats", stats.error());
  if (stats->unpublished_rows != 1) return std::to_string(stats->unpublished_rows) + " rows wait";
  auto page = outbox.read((*lease)->cursor, 100);
  if (!page) return failed("read", page.error());
  if (page->rows.size() != 1) return std::to_string(page->rows.size()) + " rows read";
  const auto& row = page->rows[0];
  if (row.payload != payload || row.key != "k\\001" || row.headers != "{\"a\": \"b\"}")
    return "another row: " + row.headers;
  auto advanced = outbox.advance((*lease)->epoch, 10s, page->after);
  if (!advanced) return failed("advance", advanced.error());
  if (auto swept = outbox.reclaim((*lease)->epoch); !swept) return failed("reclaim", swept.error());
  if (auto rotated = outbox.rotate_idempotency(); !rotated) return failed("rotate", rotated.error());
  if (auto home = outbox.release((*lease)->epoch); !home || !*home) return "not released";
  if (auto slow = connection.exec("select pg_sleep(0.003)"); !slow) return failed("a statement of 3 ms", slow.error());
  std::this_thread::sleep_for(2ms);  // nothing ends a session that is idle
  if (auto alive = connection.exec("select 1"); !alive) return failed("alive", alive.error());
  return {};
}

// Values that differ from the default as much as they may.
std::vector<std::pair<std::string, std::string>> everything(Server& server) {
  auto owner = server.connect();
  auto rows = owner->exec(
      "select name, v from (select name, unnest(case vartype when 'bool' then array[case boot_val when 'on' then 'off' "
      "else 'on' end] when 'enum' then enumvals when 'string' then '{}' else array[min_val, max_val] || case when name "
      "like '%timeout' then '{1}'::text[] else '{}' end end) v, boot_val from pg_settings where context in ('user', "
      "'superuser')) s where v <> boot_val order by name, v");
  if (!rows) throw std::runtime_error(rows.error().text);
  std::vector<std::pair<std::string, std::string>> all;
  for (std::size_t i = 0; i < rows->size(); ++i)
    all.emplace_back(rows->text(i, 0), rows->text(i, 1));
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"TimeZone", "Asia/Kathmandu"},
                                                        {"DateStyle", "German"},
                                                        {"DateStyle", "SQL, DMY"},
                                                        {"search_path", "shadow, pg_catalog"},
                                                        {"search_path", ""},
                                                        {"role", "other"},
                                                        {"client_encoding", "LATIN1"},
                                                        {"lc_numeric", "C"},
                                                        {"plpgsql.extra_errors", "all"},
                                                        {"plpgsql.variable_conflict", "use_variable"},
                                                        {"temp_tablespaces", ""},
                                                        {"default_text_search_config", "pg_catalog.simple"},
                                                        {"application_name", "x"}}) {
    all.emplace_back(name, value);
  }
  return all;
}

}  // namespace

TEST_CASE("session: no default of the role changes what our statements do") {
  Server server;
  server.migrate();
  // Somebody else's words for ours, and a role that may do nothing.
  server.ask(
      "create role other; create schema shadow; grant usage on schema shadow to public;"
      "create function shadow.pg_is_in_recovery() returns boolean language sql as 'select true';"
      "create function shadow.pg_sleep(double precision) returns void language sql as 'select 1/0';"
      "create function shadow.wrong(text, text) returns boolean language sql as 'select false';"
      "create operator shadow.= (leftarg = text, rightarg = text, procedure = shadow.wrong);"
      "create domain shadow.uuid as text; create domain shadow.interval as text; create domain shadow.pg_snapshot as "
      "text;"
      "grant other to app");
  // A fault that names it, told by the pool: see pool_test.
  const std::set<std::string> told{"default_transaction_read_only", "session_replication_role"};
  // Would only make the test slow (ten thousand lines of log, or a sleep, for each statement), or end it: a stack of
  // 100 kB parses nothing.
  const std::set<std::string> left_out{"max_stack_depth"};
  const auto asker = server.connect();
  std::uint8_t n = 0;
  std::size_t tried = 0;
  std::string wrong;
  for (const auto& [name, value] : everything(server)) {
    if (told.count(name) + left_out.count(name) > 0) continue;
    const std::string quoted = name == "search_path" ? (value.empty() ? "''" : value) : "'" + value + "'";
    // transaction_isolation and its like are of the transaction under way, and no role may have them.
    if (!asker->exec("alter role app set " + name + " = " + quoted)) continue;
    const auto what = wrong_with(server, ++n);
    if (!what.empty()) wrong += name + " = " + value + ": " + what + "\n";
    server.ask("alter role app reset all; truncate ratchet.idem_0, ratchet.idem_1, ratchet.idem_2");
    if (!what.empty()) server.ask("truncate ratchet.outbox; update ratchet.relay set lease_until = '-infinity'");
    ++tried;
  }
  INFO(tried << " values tried");
  CHECK(tried > 200);
  CHECK(wrong == "");
}

TEST_CASE("session: the DSN's options win over what is preferred, never over what is needed") {
  const std::string options = db::session_options(5000ms, "-c lock_timeout=7s -c bytea_output=escape");
  CHECK(options.find("-c lock_timeout=5000 ") < options.find("-c lock_timeout=7s "));
  CHECK(options.rfind("lock_timeout") == options.find("lock_timeout=7s"));
  CHECK(options.rfind("bytea_output") == options.find("bytea_output=hex"));
  CHECK(options.find("-c transaction_timeout") == std::string::npos);
}

TEST_CASE("session: what a server does not know yet is not asked of it") {
  CHECK(db::later_settings(150004) == "");
  CHECK(db::later_settings(170000) == "set transaction_timeout = '0';");
}
