// The reactor over real sockets on the loopback: requests and answers.
#include "tests/levels/0_baseline/around_reactor.hpp"

using namespace ratchet;
using namespace ratchet::tests;

TEST_CASE("reactor: a connection is kept and its requests are answered one by one") {
  Fixture f;
  Client client(f.reactor.port());
  for (int i = 0; i < 3; ++i) {
    REQUIRE(client.send(post("/echo?x", "hello")));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->body == "POST /echo hello");
    CHECK(r->has("HTTP/1.1 200 OK\r\n"));
    CHECK(r->has("\r\nX-Extra: 1\r\n"));
    CHECK(r->has("\r\nDate: "));
    CHECK(r->has(" GMT\r\n"));
    CHECK_FALSE(r->has("Connection:"));
  }
  CHECK(f.reactor.counts().accepted == 1);
  CHECK(f.reactor.counts().requests == 3);
  CHECK(soon([&] { return f.service.turns == 3; }));
  CHECK(is_quiet(f.reactor.counts()));
  CHECK_FALSE(f.service.spoilt);
}

TEST_CASE("reactor: pipelined requests are answered in order, also behind one that waits") {
  Fixture f;
  Client client(f.reactor.port());
  std::string all = post("/defer", "first");
  for (int i = 0; i < 200; ++i)
    all += post("/echo", std::to_string(i));
  all += get("/last", "Connection: close\r\n");
  REQUIRE(client.send(all));
  const Ticket first = f.service.ticket(0);
  CHECK(client.is_silent_for(100ms));
  CHECK(f.reactor.counts().deferred == 1);
  CHECK(f.answer(first, "done"));
  auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 202);
  CHECK(r->body == "done");
  for (int i = 0; i < 200; ++i) {
    r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "POST /echo " + std::to_string(i));
  }
  r = client.receive();
  REQUIRE(r);
  CHECK(r->has("Connection: close"));
  CHECK(client.ends());
}

TEST_CASE("reactor: a request may come byte by byte") {
  Fixture f;
  Client client(f.reactor.port());
  for (char c : post("/echo", "0123456789") + post("/echo", "abc"))
    REQUIRE(client.send({&c, 1}));
  auto r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "POST /echo 0123456789");
  r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "POST /echo abc");
}

TEST_CASE("reactor: a body larger than one read arrives whole") {
  Fixture f;
  Client client(f.reactor.port());
  std::string body;
  for (int i = 0; body.size() < 1024 * 1024; ++i)
    body += std::to_string(i);
  body.resize(1024 * 1024);
  REQUIRE(client.send(post("/echo", body) + get("/after")));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "POST /echo " + body);
  const auto next = client.receive();
  REQUIRE(next);
  CHECK(next->body == "GET /after ");
}

TEST_CASE("reactor: a client that says no more after its requests is still answered") {
  Fixture f;
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(get("/a") + get("/b")));
    client.half_close();
    auto r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "GET /a ");
    r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "GET /b ");
    CHECK(client.ends());
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(get("/defer") + get("/c")));
    client.half_close();
    CHECK(f.answer(f.service.ticket(0), "late"));
    auto r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "late");
    r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "GET /c ");
    CHECK(client.ends());
  }
  CHECK(soon([&] { return f.reactor.counts().open == 0; }));
}

TEST_CASE("reactor: many deferred requests are answered from another thread") {
  Fixture f;
  constexpr std::size_t kClients = 50;
  constexpr std::size_t kRounds = 20;
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < kClients; ++i)
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
  std::thread committer([&] {
    for (std::size_t i = 0; i < kClients * kRounds; ++i)
      f.answer(f.service.ticket(i), "stored");
  });
  std::size_t good = 0;
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (auto& c : clients)
      c->send(post("/defer", "x"));
    for (auto& c : clients) {
      const auto r = c->receive();
      if (r && r->status == 202 && r->body == "stored") ++good;
    }
  }
  committer.join();
  CHECK(good == kClients * kRounds);
  CHECK(is_quiet(f.reactor.counts()));
  CHECK(f.reactor.counts().open == kClients);
}

TEST_CASE("reactor: what a client that left had sent is not taken for the next client's") {
  Fixture f;
  for (std::size_t round = 0; round < 20; ++round) {
    {  // a request that waits, the head of the next one, and gone
      Client gone(f.reactor.port());
      REQUIRE(
          gone.send("GET /defer HTTP/1.1\r\nHost: a\r\n\r\n"
                    "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 60\r\n\r\n"));
      f.service.ticket(round);
    }
    f.answer(f.service.ticket(round), "too late");
    Client next(f.reactor.port());
    REQUIRE(next.send(get("/mine")));
    const auto r = next.receive();
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->body == "GET /mine ");
  }
}

TEST_CASE("reactor: an answer for a connection that is gone reaches nobody else") {
  Fixture f;
  std::optional<Client> first(std::in_place, f.reactor.port());
  REQUIRE(first->send(get("/defer")));
  const Ticket old = f.service.ticket(0);
  first->reset();
  REQUIRE(soon([&] { return f.reactor.counts().open == 0; }));
  CHECK(is_quiet(f.reactor.counts()));
  Client second(f.reactor.port());
  REQUIRE(second.send(get("/defer")));
  const Ticket present = f.service.ticket(1);
  CHECK(old.connection == present.connection);  // the same slot
  CHECK_FALSE(f.answer(old, "wrong"));
  CHECK(second.is_silent_for(50ms));
  CHECK(f.answer(present, "right"));
  CHECK_FALSE(f.answer(present, "twice"));
  const auto r = second.receive();
  REQUIRE(r);
  CHECK(r->body == "right");
  CHECK(second.is_silent_for(50ms));
}

TEST_CASE("reactor: 100 Continue is said when the head is accepted, and only then") {
  HttpLimits limits;
  limits.body_bytes = 1000;
  Fixture f(limits);
  {
    Client client(f.reactor.port());
    REQUIRE(client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
    const auto go_on = client.receive();
    REQUIRE(go_on);
    CHECK(go_on->status == 100);
    REQUIRE(client.send("abc"));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->body == "POST /echo abc");
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3000\r\n\r\n"));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 413);
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(post("/echo", "abc", "Expect: 100-continue\r\n")));  // the body came along
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 200);
  }
}

TEST_CASE("reactor: the answer to HEAD has the length of a body, and no body") {
  Fixture f;
  Client client(f.reactor.port());
  REQUIRE(client.send("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n" + get("/g") + get("/none")));
  auto r = client.receive(true);
  REQUIRE(r);
  CHECK(r->has("Content-Length: 8\r\n"));
  r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "GET /g ");
  r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 204);
  CHECK_FALSE(r->has("Content-Length"));
}

TEST_CASE("reactor: HTTP/1.0 is closed unless it asks to be kept, and is told so") {
  Fixture f;
  {
    Client client(f.reactor.port());
    REQUIRE(client.send("GET /a HTTP/1.0\r\n\r\n"));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->has("Connection: close\r\n"));
    CHECK(client.ends());
  }
  {
    Client client(f.reactor.port());
    for (int i = 0; i < 2; ++i) {
      REQUIRE(client.send("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
      const auto r = client.receive();
      REQUIRE(r);
      CHECK(r->has("Connection: keep-alive\r\n"));
    }
  }
}

TEST_CASE("reactor: a big answer reaches a slow reader whole, and what it sends meanwhile waits") {
  Fixture f;
  Client client(f.reactor.port(), 8 * 1024);
  REQUIRE(client.send(get("/big?8388608") + get("/after")));
  REQUIRE(soon([&] { return f.reactor.counts().busy == 1; }));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->body == std::string(8388608, 'b'));
  const auto next = client.receive();
  REQUIRE(next);
  CHECK(next->body == "GET /after ");
  CHECK(soon([&] { return is_quiet(f.reactor.counts()); }));
}
