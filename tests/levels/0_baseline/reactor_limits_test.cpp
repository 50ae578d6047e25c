// The reactor over real sockets: what is too much, too long or too slow.
#include "tests/levels/0_baseline/around_reactor.hpp"

using namespace ratchet;
using namespace ratchet::tests;

TEST_CASE(
    "reactor: a request at its deadline is the service's to answer, and its late outcome reaches no later request") {
  HttpLimits limits;
  limits.request = 100ms;
  Fixture f(limits);
  Client client(f.reactor.port());
  REQUIRE(client.send(get("/defer")));
  auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 503);
  CHECK(r->body == "expired");
  const Ticket expired = f.service.ticket(0);
  REQUIRE(client.send(get("/defer")));  // on the same connection
  const Ticket present = f.service.ticket(1);
  CHECK_FALSE(f.answer(expired, "of the first"));
  r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "expired");
  CHECK_FALSE(f.answer(present, "of the second"));
  CHECK(f.service.expirations == 2);
}

TEST_CASE("reactor: what breaks a limit is refused, counted and the connection closed") {
  HttpLimits limits;
  limits.body_bytes = 1000;
  Fixture f(limits);
  struct Row {
    std::string request;
    int status;
    const char* reason;
  };
  for (const Row& row : std::vector<Row>{{"GET /" + std::string(9000, 'a'), 414, "request-line-too-long"},
                                         {get("/", "X: " + std::string(17000, 'a') + "\r\n"), 431, "header-too-large"},
                                         {post("/", std::string(1001, 'a')), 413, "body-too-large"},
                                         {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "transfer-coding"},
                                         {get("/", "Content-Encoding: br\r\n"), 415, "content-encoding"},
                                         {"GET / HTTP/2.0\r\n\r\n", 505, "http-version"},
                                         {"nonsense\r\n\r\n", 400, "malformed"}}) {
    INFO(row.reason);
    Client client(f.reactor.port());
    REQUIRE(client.send(get("/before") + row.request));
    auto r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "GET /before ");
    r = client.receive();
    REQUIRE(r);
    CHECK(r->status == row.status);
    CHECK(r->body == row.reason);
    CHECK(r->has("Content-Type: application/problem+json\r\n"));
    CHECK(r->has("Connection: close\r\n"));
    CHECK(client.ends());
    CHECK(f.rejected(row.reason) == 1);
  }
}

TEST_CASE("reactor: a body over the limit is refused without being read, and its sender still gets the answer") {
  HttpLimits limits;
  limits.body_bytes = 1000;
  Fixture f(limits);
  for (int i = 0; i < 50; ++i) {
    Client client(f.reactor.port());
    CHECK(client.send(post("/", std::string(1024 * 1024, 'a'))));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 413);
    CHECK(client.ends());
  }
  CHECK(f.reactor.counts().requests == 0);
}

TEST_CASE("reactor: an endless header line costs no memory") {
  Fixture f;
  const std::size_t before = resident_bytes();
  Client client(f.reactor.port());
  const std::string block(1024 * 1024, 'a');
  CHECK(client.send("GET / HTTP/1.1\r\nX: "));
  std::size_t sent = 0;
  while (sent < 64 && client.send(block))
    ++sent;
  // However much of it was sent: the refusal came at the limit.
  CHECK(soon([&] { return f.rejected("header-too-large") == 1; }));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(resident_bytes() < before + 8 * 1024 * 1024);
#else
  static_cast<void>(before);
#endif
  CHECK(soon([&] { return f.reactor.counts().open == 0; }));
}

TEST_CASE("reactor: who begins a request must end it in time") {
  HttpLimits limits;
  limits.header_wait = 150ms;
  limits.body_wait = 150ms;
  limits.idle = 60s;
  Fixture f(limits);
  {
    Client client(f.reactor.port());
    REQUIRE(client.send("GET / HT"));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 408);
    CHECK(r->has("Connection: close"));
    CHECK(client.ends());
    CHECK(f.rejected("slow-header") == 1);
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(get("/echo")));
    REQUIRE(client.receive());
    REQUIRE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 408);
    CHECK(client.ends());
    CHECK(f.rejected("slow-body") == 1);
  }
  {
    Client silent(f.reactor.port());
    CHECK(silent.ends());  // no 408: nothing had begun
  }
}

TEST_CASE("reactor: a trickle of bytes does not put off the deadline") {
  HttpLimits limits;
  limits.header_wait = 200ms;
  Fixture f(limits);
  Client client(f.reactor.port());
  bool refused = false;
  for (int i = 0; i < 2000 && !refused; ++i) {
    if (!client.send("X")) break;
    refused = !client.is_silent_for(10ms);
  }
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 408);
}

TEST_CASE("reactor: the request's deadline counts from the end of its headers, so it ends a slow body") {
  HttpLimits limits;
  limits.request = 150ms;  // shorter than body_wait
  Fixture f(limits);
  Client client(f.reactor.port());
  REQUIRE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 408);
}

TEST_CASE("reactor: an idle connection is closed without a word") {
  HttpLimits limits;
  limits.idle = 150ms;
  Fixture f(limits);
  Client client(f.reactor.port());
  REQUIRE(client.send(get("/a")));
  REQUIRE(client.receive());
  CHECK(client.ends());
  CHECK(f.reactor.counts().cut == 0);
}

TEST_CASE("reactor: who does not take its answer is cut off") {
  HttpLimits limits;
  limits.body_wait = 200ms;
  Fixture f(limits);
  Client client(f.reactor.port(), 8 * 1024);
  REQUIRE(client.send(get("/big?16777216")));
  REQUIRE(soon([&] { return f.reactor.counts().busy == 1; }));
  CHECK(soon([&] { return f.reactor.counts().open == 0; }));
  CHECK(f.reactor.counts().cut == 1);
  CHECK(is_quiet(f.reactor.counts()));
}

TEST_CASE("reactor: running out of files stops nothing but accepting, for a moment") {
  Fixture f;
  Client early(f.reactor.port());
  REQUIRE(early.send(get("/a")));
  REQUIRE(early.receive());
  Client late(f.reactor.port(), 0, false);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(lowest_free);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const bool connected = late.connect() && late.send(get("/b"));
  const bool noticed = soon([&] { return f.rejected("out-of-files") >= 1; });
  const bool others_served = early.send(get("/c")) && early.receive();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(connected);
  CHECK(noticed);
  CHECK(others_served);
  const auto r = late.receive();
  REQUIRE(r);
  CHECK(r->status == 200);
}

TEST_CASE("reactor: idle connections cost little memory") {
  Fixture f;
  constexpr std::size_t kClients = 300;
  std::vector<std::unique_ptr<Client>> clients;
  const std::string body(100'000, 'x');
  for (std::size_t i = 0; i < 10; ++i) {  // what is allocated once
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
    REQUIRE(clients.back()->send(post("/none", body)));
    REQUIRE(clients.back()->receive());
  }
  const std::size_t before = resident_bytes();
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
    REQUIRE(clients.back()->send(post("/none", body)));
    REQUIRE(clients.back()->receive());
  }
  REQUIRE(f.reactor.counts().open == kClients + 10);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK((resident_bytes() - std::min(before, resident_bytes())) / kClients <= 5000);  // 10,000 of them: 50 MB
#else
  static_cast<void>(before);
#endif
}
