#include "levels/3_service/server.hpp"

#include <fcntl.h>

#include "tests/levels/3_service/server_world.hpp"
#include "tests/support/catch.hpp"

namespace {

using namespace ratchet;
using namespace ratchet::tests;
using nlohmann::json;

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

// A client that leaves with a reset: the server learns at once that nobody is there.
class Resetter {
 public:
  explicit Resetter(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const linger hard{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Resetter() { ::close(fd_); }
  Resetter(const Resetter&) = delete;
  Resetter& operator=(const Resetter&) = delete;
  void send(const std::string& bytes) {
    REQUIRE(connected_);
    REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }

 private:
  int fd_;
  bool connected_ = false;
};

}  // namespace

TEST_CASE("server: what is acknowledged is in the outbox, byte for byte") {
  Gateway gateway;
  const auto row = [&](const std::string& column, const std::string& id) {
    return gateway.world.ask("select " + column + " from ratchet.outbox where headers->>'ce_id' = '" + id + "'");
  };
  const std::string body = "{ \"customer\":\"Zoë \\ud83d\\ude00\", \"total\":1.50e0 }\n";
  const auto answer = gateway.post("/events/orders", body);
  REQUIRE(answer.status == 202);
  CHECK(answer.header("content-type") == "application/json");
  const auto id = id_of(answer);
  CHECK(answer.body == "{\"id\":\"" + id + "\"}");
  CHECK(row("topic", id) == "orders");
  CHECK(row("encode(key, 'hex')", id) == hex("Zoë 😀"));
  CHECK(row("encode(payload, 'hex')", id) == hex(body));
  CHECK(row("headers->>'ce_type'", id) == "orders");
  CHECK(row("headers->>'ce_source'", id) == "/ratchetd/events/orders");

  const auto number = id_of(gateway.post("/events/orders", R"({"customer":1.0})"));
  CHECK(row("encode(key, 'escape')", number) == "1.0");

  const std::string binary("\0\x01\xff\r\n\r\n", 7);
  const auto event = gateway.send(Gateway::post_text(
      "/events/any", binary, "ce-specversion: 1.0\r\nce-id: ключ-1\r\nce-source: /s\r\nce-type: t\r\n"));
  REQUIRE(event.status == 202);
  CHECK(id_of(event) == "ключ-1");
  CHECK(row("encode(payload, 'hex')", "ключ-1") == hex(binary));
  CHECK(row("key is null", "ключ-1") == "t");
  CHECK(gateway.count() == "3");
}

TEST_CASE("server: what cannot be stored is answered with its problem") {
  Gateway gateway;
  const auto type = [&](const RawAnswer& answer, int status) {
    INFO(answer.body);
    CHECK(answer.status == status);
    return problem_type(answer);
  };
  const auto json_of = [](const RawAnswer& answer) { return json::parse(answer.body); };

  auto answer = gateway.post("/events", "{}");
  CHECK(type(answer, 404) == "not-found");
  CHECK(json_of(answer)["instance"] == "/events");
  RawHttp http(gateway.port);
  answer = *http.get("/events/orders");
  CHECK(type(answer, 405) == "method-not-allowed");
  CHECK(answer.header("allow") == "POST");
  answer = *http.get("/live");  // the same connection goes on
  CHECK(answer.header("content-type") == "application/health+json");

  CHECK(type(gateway.send(Gateway::post_text("/events/orders", "{}", "")), 415) == "unsupported-media-type");
  answer = gateway.post("/events/orders", "{\"customer\":1,}");
  CHECK(type(answer, 400) == "json-invalid");
  CHECK(json_of(answer)["detail"] == "unexpected character at byte 14");
  answer = gateway.post("/events/orders", "{\"customer\":null}");
  CHECK(type(answer, 422) == "key-missing");
  CHECK(json_of(answer)["detail"] == "the key is taken from :body.customer, which is null");
  CHECK(type(gateway.post("/events/any", "{}", "ce-id: 1\r\n"), 400) == "cloudevent-invalid");
  CHECK(type(gateway.post("/events/any", "{}", "Idempotency-Key: " + std::string(256, 'k') + "\r\n"), 400) ==
        "idempotency-key-invalid");
  gateway.limits.set({{"any", 500}}, 1'000'000);
  answer = gateway.post("/events/any", "\"" + std::string(500, 'x') + "\"");
  CHECK(type(answer, 413) == "record-too-large");
  CHECK(json_of(answer)["limit"] == 500);
  CHECK(json_of(answer)["found"] == 61 + 26 + 502);  // an empty record and the body: the length alone is too much
  CHECK(type(gateway.send("POST /events/any HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400) == "malformed");

  CHECK(gateway.count() == "0");
  for (const char* reason : {"not-found", "method-not-allowed", "unsupported-media-type", "json-invalid", "key-missing",
                             "cloudevent-invalid", "idempotency-key-invalid", "record-too-large"}) {
    INFO(reason);
    CHECK(gateway.rejected(reason) == 1);
  }
  answer = gateway.post("/events/any", "\"" + std::string(300, 'x') + "\"");
  CHECK(type(answer, 413) == "record-too-large");
  CHECK(json_of(answer)["found"] > 61 + 26 + 302 + 100);  // with key and headers
  CHECK(gateway.metric("http_server_request_duration_seconds_count{http_response_status_code=\"422\",http_route=\"/"
                       "events/orders\"}") == 1);
  CHECK(gateway.metric(
            "http_server_request_duration_seconds_count{http_response_status_code=\"404\",http_route=\"\"}") == 1);
}

TEST_CASE("server: a route that may not take more says why and when to come again") {
  auto settings = one_route();
  settings.routes[0].enabled = false;
  settings.routes[1].max_in_flight = 2;
  settings.outbox.queue_bytes = 20'000;
  Gateway gateway(settings);
  const auto refused = [&](const RawAnswer& answer, const std::string& type, const std::string& retry_after) {
    INFO(answer.body);
    CHECK(answer.status == 503);
    CHECK(problem_type(answer) == type);
    CHECK(answer.header("retry-after") == retry_after);
    CHECK(gateway.rejected(type) == 1);
  };
  refused(gateway.post("/events/orders", "{}"), "route-off", "");

  gateway.behind = true;
  refused(gateway.post("/events/any", "{}"), "outbox-budget", "30");
  gateway.behind = false;

  refused(gateway.post("/events/any", "\"" + std::string(20'000, 'x') + "\""), "commit-queue", "1");

  gateway.world.postgres.freeze();
  RawHttp one(gateway.port), two(gateway.port);
  one.send(Gateway::json_post("/events/any", "{}"));
  two.send(Gateway::json_post("/events/any", "{}"));
  REQUIRE(comes_true([&] { return gateway.metric("http_server_active_requests") == 2; }));
  const auto bulkhead = gateway.post("/events/any", "{}");
  refused(bulkhead, "bulkhead", "1");
  CHECK(json::parse(bulkhead.body)["limit"] == 2);
  gateway.world.postgres.thaw();
  CHECK(one.read()->status == 202);
  CHECK(two.read()->status == 202);
  CHECK(gateway.post("/events/any", "{}").status == 202);

  gateway.stop_commits(Leave::asked);
  refused(gateway.post("/events/any", "{}"), "not-connected", "1");
  gateway.start_commits();
  CHECK(gateway.post("/events/any", "{}").status == 202);
  CHECK(gateway.count() == "4");
}

TEST_CASE("server: the same request again gets the same answer and stores nothing") {
  Gateway gateway;
  const std::string key = "Idempotency-Key: \"order 17\"\r\n", body = R"({"customer":"c"})";
  const auto first = gateway.post("/events/orders", body, key);
  REQUIRE(first.status == 202);
  CHECK(first.header("idempotency-replayed").empty());
  const auto again = gateway.post("/events/orders", body, key);
  CHECK(again.status == 202);
  CHECK(again.body == first.body);
  CHECK(again.header("idempotency-replayed") == "true");
  CHECK(again.header("content-type") == "application/json");

  const auto other = gateway.post("/events/orders", R"({"customer":"d"})", key);
  CHECK(other.status == 422);
  CHECK(problem_type(other) == "idempotency-key-reused");
  CHECK(gateway.post("/events/any", body, key).status == 202);  // another route: another key

  const std::string event = "ce-specversion: 1.0\r\nce-id: 9\r\nce-source: /s\r\nce-type: t\r\n";
  CHECK(gateway.post("/events/any", body, event).header("idempotency-replayed").empty());
  CHECK(gateway.post("/events/any", body, event).header("idempotency-replayed") == "true");
  CHECK(gateway.count() == "3");
}

TEST_CASE("server: a key that is being committed elsewhere is 409, and free again when that one gave up") {
  Gateway gateway;
  const auto id = db::idempotency_id("/events/any", "", "k");
  const std::string_view bytes(reinterpret_cast<const char*>(id.data()), id.size());
  auto other = gateway.world.connect();
  World::must(other->exec("begin"));
  World::must(other->exec(
      "select * from ratchet.append(array['" + hex(bytes) +
      "'::uuid], array['\\x00'::bytea], array['\\x00'::bytea], array['t'], array[null::bytea], array['{}'::jsonb], "
      "array['\\x00'::bytea])"));
  const auto running = gateway.post("/events/any", "{}", "Idempotency-Key: k\r\n");
  CHECK(running.status == 409);
  CHECK(problem_type(running) == "idempotency-in-progress");
  CHECK(running.header("retry-after") == "1");
  World::must(other->exec("rollback"));
  CHECK(gateway.post("/events/any", "{}", "Idempotency-Key: k\r\n").status == 202);
}

TEST_CASE("server: an event that the database refuses is 422 for its data, 500 otherwise, and hurts no neighbour") {
  Gateway gateway;
  gateway.world.ask(
      "create function refuse() returns trigger language plpgsql as $$ begin "
      "if new.payload = '\"data\"' then raise exception 'no' using errcode = '22000'; end if; "
      "if new.payload = '\"bug\"' then raise exception 'no' using errcode = 'XX000'; end if; return new; end $$;"
      "create trigger refuse before insert on ratchet.outbox for each row execute function refuse()");
  gateway.world.postgres.freeze();
  RawHttp first(gateway.port), data(gateway.port), bug(gateway.port), good(gateway.port);
  first.send(Gateway::json_post("/events/any", "{}"));
  data.send(Gateway::json_post("/events/any", "\"data\""));
  bug.send(Gateway::json_post("/events/any", "\"bug\""));
  good.send(Gateway::json_post("/events/any", "\"good\""));
  REQUIRE(comes_true([&] { return gateway.metric("http_server_active_requests") == 4; }));
  gateway.world.postgres.thaw();
  CHECK(first.read()->status == 202);
  CHECK(good.read()->status == 202);
  const auto refused = *data.read(), broken = *bug.read();
  CHECK(refused.status == 422);
  CHECK(problem_type(refused) == "row-refused");
  CHECK(broken.status == 500);
  CHECK(problem_type(broken) == "database-refused");
  CHECK(gateway.count() == "2");
}

TEST_CASE("server: at its deadline a request that was begun is outcome-unknown, one that was not is nothing-stored") {
  auto settings = one_route();
  settings.service.limits.request = 500ms;
  Gateway gateway(settings);
  gateway.world.postgres.freeze();
  RawHttp begun(gateway.port), queued(gateway.port);
  begun.send(Gateway::json_post("/events/any", "\"begun\""));
  const auto unknown = *begun.read();
  CHECK(unknown.status == 503);
  CHECK(problem_type(unknown) == "outcome-unknown");
  CHECK(unknown.header("retry-after") == "1");
  queued.send(Gateway::json_post("/events/any", "\"queued\""));
  const auto nothing = *queued.read();
  CHECK(nothing.status == 503);
  CHECK(problem_type(nothing) == "nothing-stored");
  CHECK(nothing.header("retry-after") == "1");

  // The outcome that comes late goes nowhere: not to the next request of its connection either.
  begun.send(Gateway::post_text("/nowhere", "", ""));
  CHECK(begun.read()->status == 404);
  gateway.world.postgres.thaw();
  REQUIRE(eventually([&] { return gateway.nobody_waits(); }));
  CHECK(gateway.count("payload = '\"begun\"'") == "1");
  CHECK(gateway.count("payload = '\"queued\"'") == "0");
  begun.send(Gateway::json_post("/events/any", "{}"));
  const auto next = *begun.read();
  CHECK((next.status == 202 || next.status == 503));  // 503: this machine is slower than the short deadline
  if (next.status == 202) CHECK(gateway.count("headers->>'ce_id' = '" + id_of(next) + "'") == "1");
}

TEST_CASE("server: a connection lost while committing is outcome-unknown, what had not begun is nothing-stored") {
  Gateway gateway(one_route(), 500ms);
  gateway.world.postgres.freeze();
  RawHttp begun(gateway.port), queued(gateway.port);
  begun.send(Gateway::json_post("/events/any", "{}"));
  REQUIRE(comes_true([&] { return gateway.metric("http_server_active_requests") == 1; }));
  CHECK(problem_type(*begun.read()) == "outcome-unknown");  // our watchdog has cut the frozen call
  queued.send(Gateway::json_post("/events/any", "{}"));
  REQUIRE(comes_true([&] { return gateway.metric("http_server_active_requests") == 1; }));
  gateway.stop_commits(Leave::fault);
  CHECK(problem_type(*queued.read()) == "nothing-stored");
  gateway.world.postgres.thaw();
}

TEST_CASE("server: giving up answers what is queued at once, and what is being committed when its outcome comes") {
  Gateway gateway;
  gateway.world.ask(
      "create table public.go(); create function hold() returns trigger language plpgsql as $$ begin "
      "while not exists (select from public.go) loop perform pg_sleep(0.005); end loop; return new; end $$;"
      "create trigger hold before insert on ratchet.outbox for each row execute function hold()");
  RawHttp begun(gateway.port), queued(gateway.port), late(gateway.port);
  begun.send(Gateway::json_post("/events/any", "\"begun\""));
  REQUIRE(eventually(
      [&] { return gateway.world.ask("select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"; }));
  queued.send(Gateway::json_post("/events/any", "\"queued\""));
  REQUIRE(comes_true([&] { return gateway.metric("http_server_active_requests") == 2; }));
  gateway.server.give_up_queued();
  CHECK(problem_type(*queued.read()) == "nothing-stored");
  late.send(Gateway::json_post("/events/any", "\"late\""));
  CHECK(problem_type(*late.read()) == "nothing-stored");
  gateway.world.ask("insert into public.go default values");
  CHECK(begun.read()->status == 202);
  CHECK(gateway.count() == "1");
}

TEST_CASE("server: 64 clients that pipeline get one answer each, and each acknowledged event is stored once") {
  constexpr int clients = 64, posts = 25;
  Gateway gateway;
  std::vector<std::vector<RawAnswer>> answers(clients);
  std::vector<std::thread> threads;
  for (int c = 0; c < clients; c++) {
    threads.emplace_back([&, c] {
      RawHttp http(gateway.port);
      std::string all;
      for (int i = 0; i < posts; i++) {
        all += Gateway::json_post("/events/orders",
                                  "{\"customer\":\"c" + std::to_string(c) + "\",\"n\":" + std::to_string(i) + "}");
      }
      http.send(all);
      for (int i = 0; i < posts; i++) {
        const auto answer = http.read();
        if (answer) answers[static_cast<std::size_t>(c)].push_back(*answer);
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  std::set<std::string> ids;
  for (std::size_t c = 0; c < clients; c++) {
    REQUIRE(answers[c].size() == posts);
    for (std::size_t i = 0; i < posts; i++) {
      REQUIRE(answers[c][i].status == 202);
      ids.insert(id_of(answers[c][i]));
    }
  }
  CHECK(ids.size() == clients * posts);
  CHECK(gateway.count() == std::to_string(clients * posts));
  std::istringstream stored(gateway.world.ask("select string_agg(headers->>'ce_id', ' ') from ratchet.outbox"));
  std::set<std::string> found;
  for (std::string id; stored >> id;)
    found.insert(id);
  CHECK(found == ids);
  // Each client's events are in the order in which he was answered.
  CHECK(gateway.world.ask(
            "select count(*) from (select key, payload, lag((convert_from(payload, 'UTF8')::json->>'n')::int) over "
            "(partition by key order by seq) as before from ratchet.outbox) x where "
            "(convert_from(payload, 'UTF8')::json->>'n')::int <> coalesce(before, -1) + 1") == "0");
  CHECK(gateway.metric("http_server_request_duration_seconds_count{http_response_status_code=\"202\",http_route=\"/"
                       "events/orders\"}") == clients * posts);
  CHECK(gateway.nobody_waits());
}

TEST_CASE("server: the outcome for a client that has left goes nowhere, and its place is free again") {
  auto settings = one_route();
  settings.routes[1].max_in_flight = 1;
  Gateway gateway(settings);
  gateway.world.postgres.freeze();
  {
    Resetter leaver(gateway.port);
    leaver.send(Gateway::json_post("/events/any", "\"left\""));
    REQUIRE(comes_true([&] { return gateway.metric("http_server_active_requests") == 1; }));
  }
  REQUIRE(comes_true([&] { return gateway.server.reactor()->counts().open == 0; }));
  RawHttp stranger(gateway.port);  // takes the slot of the connection that has gone
  CHECK(stranger.get("/nowhere")->status == 404);
  gateway.world.postgres.thaw();
  REQUIRE(eventually([&] { return gateway.nobody_waits(); }));
  CHECK(gateway.count("payload = '\"left\"'") == "1");
  stranger.send(Gateway::json_post("/events/any", "\"stayed\""));
  const auto answer = *stranger.read();
  CHECK(answer.status == 202);
  CHECK(gateway.count("headers->>'ce_id' = '" + id_of(answer) + "' and payload = '\"stayed\"'") == "1");
}

TEST_CASE("server: outcomes may come while it closes and after; it opens again with a clean slate") {
  auto settings = one_route();
  settings.routes[1].max_in_flight = 1;
  Gateway gateway(settings);
  gateway.world.postgres.freeze();
  RawHttp cut(gateway.port);
  cut.send(Gateway::json_post("/events/any", "\"cut\""));
  REQUIRE(comes_true([&] { return gateway.metric("http_server_active_requests") == 1; }));
  gateway.server.close();
  CHECK(problem_type(*cut.read()) == "outcome-unknown");
  CHECK_FALSE(cut.read());
  CHECK(gateway.server.reactor() == nullptr);
  CHECK(gateway.nobody_waits());
  gateway.open();  // the outcome belongs to nobody here
  RawHttp next(gateway.port);
  next.send(Gateway::json_post("/events/any", "\"next\""));
  REQUIRE(comes_true([&] { return gateway.metric("http_server_active_requests") == 1; }));
  gateway.world.postgres.thaw();
  const auto answer = *next.read();
  CHECK(answer.status == 202);
  CHECK(gateway.count("headers->>'ce_id' = '" + id_of(answer) + "' and payload = '\"next\"'") == "1");
  CHECK(gateway.count("payload = '\"cut\"'") == "1");
  gateway.server.close();
  gateway.server.close();

  // Closing and opening under load: nobody is answered twice, nothing acknowledged is missing.
  gateway.open();
  std::atomic<bool> stop{false};
  std::atomic<std::uint16_t> port{gateway.port};
  std::vector<std::set<std::string>> acknowledged(4);
  std::vector<std::thread> threads;
  for (auto& mine : acknowledged) {
    threads.emplace_back([&] {
      while (!stop) {
        RawHttp http(port);
        for (int i = 0; i < 20 && http.send(Gateway::json_post("/events/orders", R"({"customer":1})")); i++) {
          const auto got = http.read();
          if (!got) break;
          if (got->status == 202) mine.insert(id_of(*got));
        }
      }
    });
  }
  for (int round = 0; round < 20; round++) {
    const auto before = gateway.metric("ratchet_committed_total");
    comes_true([&] { return gateway.metric("ratchet_committed_total") > before; });
    gateway.server.close();
    gateway.open();
    port = gateway.port;
  }
  stop = true;
  for (auto& thread : threads)
    thread.join();
  std::size_t missing = 0;
  for (const auto& mine : acknowledged) {
    for (const auto& id : mine)
      missing += gateway.count("headers->>'ce_id' = '" + id + "'") == "1" ? 0u : 1u;
  }
  CHECK(missing == 0);
}

TEST_CASE("server: a taken port is a failed raise that leaves nothing behind") {
  Gateway gateway;
  auto settings = one_route();
  settings.service.listen.port = gateway.port;
  {
    Health health(gateway.board, gateway.world.time, 503);
    service::Server second({settings, health, {{"main", gateway.committing.commits, [] { return false; }}}, gateway.limits,
                            gateway.world.time, gateway.world.log, gateway.world.metrics, [] { return 0.5; }, gateway.random,
                            gateway.world.alarms});
    const auto opened = second.open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().kind == FaultKind::address_in_use);
    CHECK(second.reactor() == nullptr);
    gateway.server.close();
    REQUIRE(second.open());
    CHECK(second.reactor()->port() == settings.service.listen.port);
  }
  gateway.open();
  CHECK(gateway.post("/events/any", "{}").status == 202);
}

TEST_CASE("server: the access log has one line per request, with its trace, and none for probes") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  auto settings = one_route();
  settings.log.access = true;
  Gateway gateway;
  std::string text;
  {
    Log log({LogFormat::text, 6, true}, gateway.world.time, ends[1]);
    service::Server server({settings, gateway.health, {{"main", gateway.committing.commits, [] { return false; }}}, gateway.limits,
                            gateway.world.time, log, gateway.world.metrics, [] { return 0.5; }, gateway.random,
                            gateway.world.alarms});
    gateway.server.close();
    gateway.stop_commits(Leave::asked);
    gateway.committing.commits.set_sink(&server);
    gateway.start_commits();
    REQUIRE(server.open());
    RawHttp http(server.reactor()->port());
    http.send(Gateway::json_post("/events/any", "{}",
                                 "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"));
    CHECK(http.read()->status == 202);
    CHECK(http.get("/ready"));
    CHECK(http.get("/nowhere")->status == 404);
    server.close();
    gateway.stop_commits(Leave::asked);
    gateway.committing.commits.set_sink(&gateway.server);
    gateway.start_commits();
  }
  char buffer[8192];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  ::close(ends[1]);
  INFO(text);
  CHECK(text.find("0af7651916cd43dd8448eb211c80319c") != std::string::npos);
  CHECK(text.find("/events/any") != std::string::npos);
  CHECK(text.find("202") != std::string::npos);
  CHECK(text.find("127.0.0.1") != std::string::npos);
  CHECK(text.find("/nowhere") != std::string::npos);
  CHECK(text.find("/ready") == std::string::npos);
}

TEST_CASE("server: a route that rests after failures serves again by one request that tries it, and nothing else rests") {
  Gateway gateway;
  gateway.handlers_fail = true;
  for (int i = 0; i < 5; ++i)
    CHECK(problem_type(gateway.post("/events/any", "{}")) == "internal-error");
  gateway.handlers_fail = false;
  CHECK(problem_type(gateway.post("/events/any", "{}")) == "breaker-open");
  CHECK(gateway.post("/events/orders", R"({"customer":1})").status == 202);
  CHECK(gateway.world.alarms.list().at(0).id == "route.breaker./events/any");
  REQUIRE(eventually([&] { return gateway.post("/events/any", "{}").status == 202; }));
  CHECK(gateway.world.alarms.list().empty());
  CHECK(gateway.post("/events/any", "{}").status == 202);
  CHECK(gateway.count() == "3");
  CHECK(gateway.nobody_waits());
}
