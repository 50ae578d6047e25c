#include "levels/1_database/connection.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <string>
#include <thread>

#include "levels/1_database/conninfo.hpp"
#include "levels/1_database/sqlstate.hpp"
#include "tests/levels/1_database/pool_world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::db;
using namespace ratchet::tests;

namespace {

struct Client {
  explicit Client(std::string dsn) { plan.conninfo = std::move(dsn); }
  Result<std::unique_ptr<Connection>> connect(Duration within = kAges) {
    Patience patience(time.now() + within);
    return Connection::connect(plan, patience, time);
  }
  std::unique_ptr<Connection> connected() {
    auto made = connect();
    if (!made) throw std::runtime_error(made.error().text);
    return *std::move(made);
  }
  Fault refused() {
    auto made = connect();
    REQUIRE_FALSE(made);
    return made.error();
  }
  static inline const RealTime time;
  Connection::Plan plan;
};


std::string value(Connection& connection, const std::string& sql) {
  auto rows = connection.exec(sql);
  if (!rows) return "error: " + rows.error().text;
  return std::string(rows->text(0, 0));
}

// A port nobody listens on.
std::string dead_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return std::to_string(ntohs(address.sin_port));
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("connection: why it could not be made is told by kind and in one line, without the password") {
  Postgres& server = the_server();

  SECTION("nobody listens") {
    Client client("host=127.0.0.1 port=" + dead_port() + " dbname=app user=app password=right");
    const auto fault = client.refused();
    CHECK(fault.kind == FaultKind::refused);
    CHECK(fault.level == 1);
    CHECK(has(fault.text, "connection refused (127.0.0.1:"));
  }
  SECTION("no unix socket") {
    CHECK(Client("host=/nonexistent dbname=app user=app").refused().kind == FaultKind::refused);
  }
  SECTION("wrong password") {
    const auto fault = Client(server.dsn("app", "app") + " password=wr0ng").refused();
    CHECK(fault.kind == FaultKind::authentication);
    CHECK(has(fault.text, "password authentication failed for user \"app\""));
    CHECK_FALSE(has(fault.text, "wr0ng"));
    CHECK_FALSE(has(fault.text, "\n"));
  }
  SECTION("no password") { CHECK(Client(server.dsn("app", "app")).refused().kind == FaultKind::authentication); }
  SECTION("no such database") {
    const auto fault = Client(server.dsn("elsewhere", "app") + " password=right").refused();
    CHECK(fault.kind == FaultKind::authentication);
    CHECK(has(fault.text, "elsewhere"));
  }
  SECTION("not allowed in") {
    server.sql("revoke connect on database app from public; alter database app owner to postgres");
    CHECK(Client(server.dsn("app", "app") + " password=right").refused().kind == FaultKind::authorisation);
    server.sql("grant connect on database app to public; alter database app owner to app");
  }
  SECTION("no TLS there") {
    CHECK(Client(server.dsn("app", "app") + " password=right sslmode=require").refused().kind == FaultKind::tls);
  }
  SECTION("too many for the role") {
    server.sql("alter role app connection limit 0");
    CHECK(Client(server.dsn("app", "app") + " password=right").refused().kind == FaultKind::too_many_connections);
    server.sql("alter role app connection limit -1");
  }
  SECTION("unreadable DSN") {
    const auto fault = Client("host=127.0.0.1 password=right nonsense").refused();
    CHECK(fault.kind == FaultKind::unknown);
    CHECK_FALSE(has(fault.text, "right"));
  }
  SECTION("a frozen server: connect_timeout ends it") {
    server.freeze_postmaster();
    Client client(server.dsn("app", "app") + " password=right connect_timeout=1");
    CHECK(client.refused().kind == FaultKind::timed_out);
    server.thaw();
  }
  SECTION("a frozen server: patience that shrinks meanwhile ends it") {
    server.freeze_postmaster();
    Client client(server.dsn("app", "app") + " password=right connect_timeout=3600");
    Patience patience(client.time.now() + 1h);
    std::thread hurry([&] {
      std::this_thread::sleep_for(50ms);
      patience.shrink_to(client.time.now());
    });
    auto made = Connection::connect(client.plan, patience, client.time);
    hurry.join();
    REQUIRE_FALSE(made);
    CHECK(made.error().kind == FaultKind::timed_out);
    server.thaw();
  }
}

TEST_CASE("connection: several hosts are tried in order, names resolved by the resolver") {
  Postgres& server = the_server();
  const std::string port = std::to_string(server.port());
  Client client("host=db1,db2 port=" + dead_port() + "," + port + " dbname=app user=app password=right");
  std::vector<std::string> asked;
  Resolver resolver([&](const std::string& host) {
    asked.push_back(host);
    return Resolver::Answer{{"127.0.0.1"}, ""};
  });
  client.plan.resolver = &resolver;
  auto connection = client.connected();
  CHECK(connection->where() == "db2:" + port);
  CHECK(asked == std::vector<std::string>{"db1", "db2"});

  SECTION("a URI says the same") {
    client.plan.conninfo = "postgresql://app:right@db2:" + port + "/app?application_name=from-uri";
    CHECK(value(*client.connected(), "select current_setting('application_name')") == "from-uri");
  }
  SECTION("the real resolver knows localhost") {
    Resolver real;
    client.plan.resolver = &real;
    client.plan.conninfo = "host=localhost port=" + port + " dbname=app user=app password=right";
    CHECK(value(*client.connected(), "select 1") == "1");
  }
  SECTION("a name that does not exist") {
    Resolver none([](const std::string&) { return Resolver::Answer{{}, "Name or service not known"}; });
    client.plan.resolver = &none;
    const auto fault = client.refused();
    CHECK(fault.kind == FaultKind::name_resolution);
    CHECK(has(fault.text, "Name or service not known"));
  }
}

TEST_CASE("resolver: one that hangs costs no more than the patience, and one thread") {
  struct Gate {
    std::mutex mutex;
    std::condition_variable opened;
    bool open = false;
  };
  auto gate = std::make_shared<Gate>();
  auto threads = std::make_shared<std::atomic<int>>(0);
  Resolver resolver([gate, threads](const std::string&) {
    ++*threads;
    std::unique_lock lock(gate->mutex);
    gate->opened.wait(lock, [&] { return gate->open; });
    return Resolver::Answer{{"192.0.2.1"}, ""};
  });
  RealTime time;
  for (const std::string host : {"a", "a", "b"}) {
    Patience patience(time.now() + 30ms);
    const auto answer = resolver.resolve(host, patience, time);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().kind == FaultKind::name_resolution);
  }
  CHECK(*threads == 1);
  {
    std::lock_guard lock(gate->mutex);
    gate->open = true;
    gate->opened.notify_all();
  }
  Patience patience(time.now() + kAges);
  const auto answer = resolver.resolve("b", patience, time);
  REQUIRE(answer);
  CHECK(*answer == std::vector<std::string>{"192.0.2.1"});
  CHECK(*threads == 2);
}

TEST_CASE("connection: the session is ours, the DSN's own words win") {
  Postgres& server = the_server();
  server.sql(
      "alter role app set timezone = 'Asia/Tokyo'; alter role app set datestyle = 'German'; "
      "alter role app set bytea_output = 'escape'; alter role app set synchronous_commit = off");
  Client client(server.dsn("app", "app") + " password=right options='-c search_path=other -c lock_timeout=7s'");
  client.plan.application_name = "ratchetd test";
  auto connection = client.connected();
  const auto setting = [&](const std::string& name) { return value(*connection, "show " + name); };
  CHECK(setting("timezone") == "UTC");
  CHECK(setting("datestyle") == "ISO, MDY");
  CHECK(setting("client_encoding") == "UTF8");
  CHECK(setting("jit") == "off");
  CHECK(setting("synchronous_commit") == "on");
  CHECK(setting("bytea_output") == "hex");
  CHECK(setting("statement_timeout") == "5s");
  CHECK(setting("application_name") == "ratchetd test");
  CHECK(setting("search_path") == "other");
  CHECK(setting("lock_timeout") == "7s");
}

TEST_CASE("connection: values come as they are") {
  Postgres& server = the_server();
  auto connection = Client(server.dsn("app", "app") + " password=right").connected();

  SECTION("texts, nulls, numbers, booleans, bytes") {
    auto rows = connection->exec(
        "values ('ä', null, 42, true, '\\x00ff7f'::bytea), ('', 'x', -1, false, ''), "
        "('b', 'y', 0, null, null) ");
    REQUIRE(rows);
    REQUIRE(rows->size() == 3);
    CHECK(rows->text(0, 0) == "ä");
    CHECK(rows->is_null(0, 1));
    CHECK(rows->text(0, 1).empty());
    CHECK_FALSE(rows->is_null(1, 0));
    CHECK(rows->integer(0, 2) == 42);
    CHECK(rows->integer(1, 2) == -1);
    CHECK(rows->boolean(0, 3));
    CHECK_FALSE(rows->boolean(1, 3));
    CHECK(rows->bytes(0, 4) == std::string("\0\xff\x7f", 3));
    CHECK(rows->bytes(1, 4).empty());
    CHECK(rows->bytes(2, 4).empty());
    connection.reset();
    CHECK(rows->text(0, 0) == "ä");  // outlives its connection
  }
  SECTION("parameters: text, binary, null, empty") {
    REQUIRE(connection->prepare("echo", "select $1::text, $2::bytea, $3::bytea[], $4::int, $5::bytea, $6::text"));
    const std::string bytes("\0\x01\xfe", 3);
    // one-dimensional bytea[] of two: {"a", "bc"}
    const std::string array("\0\0\0\1\0\0\0\0\0\0\0\x11\0\0\0\2\0\0\0\1\0\0\0\1a\0\0\0\2bc", 31);
    const std::string longer = "no zero byte follows this";
    const Parameter parameters[] = {{std::string_view(longer).substr(0, 7), false, false},
                                    {bytes, false, true},
                                    {array, false, true},
                                    {{}, true, false},
                                    {{}, false, true},
                                    {"", false, false}};
    auto rows = connection->exec_prepared("echo", parameters);
    REQUIRE(rows);
    CHECK(rows->text(0, 0) == "no zero");
    CHECK(rows->bytes(0, 1) == bytes);
    CHECK(rows->text(0, 2) == R"({"\\x61","\\x6263"})");
    CHECK(rows->is_null(0, 3));
    CHECK_FALSE(rows->is_null(0, 4));
    CHECK(rows->bytes(0, 4).empty());
    CHECK_FALSE(rows->is_null(0, 5));
  }
}

TEST_CASE("connection: what the server refuses has its SQLSTATE, and the connection is still good") {
  Postgres& server = the_server();
  auto connection = Client(server.dsn("app", "app") + " password=right").connected();
  REQUIRE(connection->exec("create table public.t(k int primary key, n int check (n > 0))"));
  REQUIRE(connection->exec("insert into public.t values (1, 1)"));

  const auto state = [&](const std::string& sql) {
    auto rows = connection->exec(sql);
    REQUIRE_FALSE(rows);
    CHECK(rows.error().kind == SqlError::Kind::said);
    CHECK_FALSE(rows.error().text.empty());
    CHECK_FALSE(has(rows.error().text, "\n"));
    return rows.error().sqlstate;
  };
  CHECK(state("insert into public.t values (1, 1)") == "23505");
  CHECK(state("insert into public.t values (2, 0)") == "23514");
  CHECK(state("selec") == "42601");
  CHECK(state("select nonsense()") == "42883");
  CHECK(state("select * from pg_authid") == "42501");
  CHECK(state("do $$ begin raise sqlstate '40001' using message = 'again'; end $$") == "40001");
  CHECK(state("do $$ begin raise sqlstate '40P01' using message = 'again'; end $$") == "40P01");
  CHECK(state("do $$ begin raise sqlstate '55P03' using message = 'locked'; end $$") == "55P03");
  CHECK(state("do $$ begin raise sqlstate '53100' using message = 'full'; end $$") == "53100");
  CHECK(state("set statement_timeout = 20; select pg_sleep(20)") == "57014");
  CHECK(state("set transaction_read_only = on; create table u()") == "25006");
  CHECK(connection->exec("reset statement_timeout"));

  const auto bad = connection->prepare("bad", "select * from nowhere");
  REQUIRE_FALSE(bad);
  CHECK(bad.error().sqlstate == "42P01");
  CHECK(connection->prepare("bad", "select 1"));
  CHECK(connection->prepare("bad", "select 1"));
  CHECK(connection->exec_prepared("bad", {}));
  const auto unknown = connection->exec_prepared("never prepared", {});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().kind == SqlError::Kind::said);
  CHECK_FALSE(connection->broken());
}

TEST_CASE("connection: once lost it stays lost, and says why") {
  Postgres& server = the_server();
  Client client(server.dsn("app", "app") + " password=right");
  auto connection = client.connected();
  const std::string pid = std::to_string(connection->backend());

  SECTION("terminated while idle") {
    server.sql("select pg_terminate_backend(" + pid + ", 20000)");
    SECTION("seen by looking") {
      REQUIRE(comes_true([&] { return !connection->look(); }));
    }
    SECTION("seen by using") {
      const auto rows = connection->exec("select 1");
      REQUIRE_FALSE(rows);
      CHECK(rows.error().kind == SqlError::Kind::lost);
      CHECK(rows.error().sqlstate == "57P01");
    }
    CHECK(has(connection->loss(), "terminating connection due to administrator command"));
  }
  SECTION("terminated during a call") {
    std::thread killer([&] {
      comes_true([&] {
        return server.sql("select 1 from pg_stat_activity where query like '%pg_sleep(60)%' and pid = " + pid) == "1\n";
      });
      server.sql("select pg_terminate_backend(" + pid + ")");
    });
    const auto rows = connection->exec("set statement_timeout = 0; select pg_sleep(60)");
    killer.join();
    REQUIRE_FALSE(rows);
    CHECK(rows.error().kind == SqlError::Kind::lost);
    CHECK(has(rows.error().text, "terminating connection due to administrator command"));
  }
  SECTION("cut by us") {
    std::thread cutter([&] {
      std::this_thread::sleep_for(20ms);
      connection->cut();
    });
    const auto rows = connection->exec("select pg_sleep(60)");
    cutter.join();
    REQUIRE_FALSE(rows);
    CHECK(rows.error().kind == SqlError::Kind::lost);
    CHECK(connection->was_cut());
  }
  SECTION("cut because it was overdue, from a frozen server") {
    server.freeze();
    connection->allow_until(client.time.now() + 50ms);
    std::thread watchdog([&] { comes_true([&] { return connection->cut_if_overdue(client.time.now()); }); });
    const auto rows = connection->exec("select 1");
    watchdog.join();
    REQUIRE_FALSE(rows);
    CHECK(rows.error().kind == SqlError::Kind::lost);
    CHECK(fault_kind(rows.error()) == FaultKind::timed_out);
    server.thaw();
  }
  SECTION("the server goes and comes back") {
    server.restart();
    CHECK_FALSE(connection->exec("select 1"));
  }

  CHECK(connection->broken());
  for (int i = 0; i < 3; ++i) {  // libpqxx would reconnect by now
    const auto again = connection->exec("select 1");
    REQUIRE_FALSE(again);
    CHECK(again.error().kind == SqlError::Kind::lost);
    CHECK_FALSE(connection->prepare("p", "select 1"));
  }
}

TEST_CASE("connection: a call that answered in time is not cut afterwards") {
  Postgres& server = the_server();
  Client client(server.dsn("app", "app") + " password=right");
  auto connection = client.connected();
  connection->allow_until(client.time.now() + 10s);
  REQUIRE(connection->exec("select 1"));
  CHECK_FALSE(connection->cut_if_overdue(client.time.now() + 1h));
  CHECK_FALSE(connection->due(client.time.now()));
  CHECK(connection->exec("select 1"));
}

TEST_CASE("sqlstate: the server's own words are found among libpq's") {
  CHECK(what_was_said("FATAL:  57P01: terminating connection due to administrator command\nLOCATION:  x\n").sqlstate ==
        "57P01");
  const auto start =
      what_was_said("connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n\tIs the server ...\n");
  CHECK(start.sqlstate.empty());
  CHECK(start.text == "Connection refused");
  const auto prefixed = what_was_said("Failure during 'x': ERROR:  23505: duplicate key: value\nDETAIL:  secret");
  CHECK(prefixed.sqlstate == "23505");
  CHECK(prefixed.text == "duplicate key: value");
  CHECK(what_was_said("").text.empty());
  CHECK(what_was_said("\n\n").text.empty());
}

TEST_CASE("sqlstate: each kind of fault is known, from where it can mean that") {
  const auto lost = [](std::string state) { return fault_kind({SqlError::Kind::lost, std::move(state), "x"}); };
  const auto said = [](std::string state) { return fault_kind({SqlError::Kind::said, std::move(state), "x"}); };
  CHECK(lost("28P01") == FaultKind::authentication);
  CHECK(lost("28000") == FaultKind::authentication);
  CHECK(lost("3D000") == FaultKind::authentication);
  CHECK(lost("53300") == FaultKind::too_many_connections);
  CHECK(lost("57P01") == FaultKind::connection_lost);
  CHECK(lost("57P03") == FaultKind::refused);
  CHECK(lost("08006") == FaultKind::connection_lost);
  CHECK(lost("42501") == FaultKind::authorisation);
  CHECK(said("25006") == FaultKind::read_only);
  CHECK(said("26000") == FaultKind::pooler);
  CHECK(said("42501") == FaultKind::authorisation);
  CHECK(said("53100") == FaultKind::disk_full);
  for (const char* state : {"28P01", "3D000", "53300", "57P01", "57P03", "08006", "23505"})
    CHECK(said(state) == FaultKind::unknown);
  CHECK(fault_kind({SqlError::Kind::lost, "", ""}) == FaultKind::connection_lost);
  CHECK(fault_kind({SqlError::Kind::lost, "08P01", "FATAL: no more connections allowed (max_client_conn)"}) ==
        FaultKind::too_many_connections);
}

TEST_CASE("conninfo: lists, quotes and both forms") {
  const auto parsed = Conninfo::parse("host='a b,c' hostaddr=,10.0.0.1 port=1,2 password='it\\'s \\\\'");
  REQUIRE(parsed);
  const auto targets = parsed->targets();
  REQUIRE(targets.size() == 2);
  CHECK(targets[0].host == "a b");
  CHECK(targets[1].host == "c");
  CHECK(targets[1].address == "10.0.0.1");
  CHECK(targets[1].port == "2");
  CHECK(parsed->get("password") == "it's \\");
  const auto again = Conninfo::parse(parsed->text());
  REQUIRE(again);
  CHECK(again->get("password") == "it's \\");
  const auto uri = Conninfo::parse("postgresql://u:p%40@[::1]:7/d");
  REQUIRE(uri);
  CHECK(uri->get("password") == "p@");
  CHECK(uri->where() == "[::1]:7");
  CHECK(Conninfo::parse("host=/tmp")->where() == "/tmp/.s.PGSQL.5432");
  CHECK(is_numeric_address("10.0.0.1"));
  CHECK(is_numeric_address("fe80::1%eth0"));
  CHECK_FALSE(is_numeric_address("localhost"));
}

// libpqxx 6.4 forgets the result of a call during which the connection was lost (a few kB each).
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libpqxx-6.4\n"; }
