// The reactor over real sockets: what it holds of unfinished requests and answers, all connections together.
#include "tests/levels/0_baseline/around_reactor.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

constexpr std::size_t kBody = 100'000;

HttpLimits with_budget(std::size_t bytes) {
  HttpLimits limits;
  limits.buffer_bytes = bytes;
  limits.request = limits.body_wait = limits.idle = 60s;
  return limits;
}

// All of a request but its last byte.
std::string unfinished(bool chunked) {
  const std::string whole =
      chunked ? post_chunked("/echo", "186a0\r\n" + std::string(kBody, 'a') + "\r\n0\r\n\r\n")
              : post("/echo", std::string(kBody, 'a'));
  return whole.substr(0, whole.size() - 1);
}

// What was sent before is received, and who had to go for it has been told.
void settle(Fixture& f) {
  for (int turns = 0; turns < 4; ++turns)
    f.inside([](Reactor&) { return true; });
}

}  // namespace

TEST_CASE("reactor: bodies that do not end are given up for those that come, the slowest first") {
  for (const bool chunked : {false, true}) {
    INFO(chunked);
    Fixture f(with_budget(1'000'000));
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 40; ++i) {
      clients.push_back(std::make_unique<Client>(f.reactor.port()));
      REQUIRE(clients.back()->send(unfinished(chunked)));
      settle(f);
      REQUIRE(f.reactor.counts().held >= std::min<std::size_t>(880'000, clients.size() * kBody));
    }
    REQUIRE(f.reactor.counts().held <= 1'000'000);
    // The last is not given up: it ends, and is served.
    REQUIRE(clients.back()->send(chunked ? "\n" : "a"));
    auto r = clients.back()->receive();
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->body.size() == kBody + std::string("POST /echo ").size());
    const auto refused = static_cast<std::size_t>(f.rejected("buffers"));
    CHECK(refused >= 30);
    for (std::size_t i = 0; i < refused; ++i) {
      INFO(i);
      r = clients[i]->receive();
      REQUIRE(r);
      CHECK(r->status == 503);
      CHECK(r->body == "buffers");
      CHECK(r->has("Retry-After: 1\r\n"));
      CHECK(clients[i]->ends());
    }
    for (std::size_t i = refused; i + 1 < clients.size(); ++i) {  // and whom there is room for is served
      INFO(i);
      REQUIRE(clients[i]->send(chunked ? "\n" : "a"));
      r = clients[i]->receive();
      REQUIRE(r);
      CHECK(r->status == 200);
    }
    CHECK(soon([&] { return f.reactor.counts().held == 0; }));
    CHECK(is_quiet(f.reactor.counts()));
  }
}

TEST_CASE("reactor: single bytes do not make a body look quick") {
  Fixture f(with_budget(1'000'000));
  Client trickling(f.reactor.port());
  REQUIRE(trickling.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + std::string(300'000, 'a')));
  REQUIRE(soon([&] { return f.reactor.counts().held >= 300'000; }));
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
    REQUIRE(clients.back()->send(unfinished(false)));
    settle(f);
    if (f.rejected("buffers") == 0) REQUIRE(trickling.send("a"));
  }
  const auto r = trickling.receive();
  REQUIRE(r);
  CHECK(r->status == 503);
  CHECK(r->body == "buffers");
}

TEST_CASE("reactor: an answer that nobody reads is given up for a body that gets on") {
  Fixture f(with_budget(8'000'000));
  Client slow(f.reactor.port(), 8 * 1024);
  REQUIRE(slow.send(get("/big?7500000")));
  REQUIRE(soon([&] { return f.reactor.counts().held > 0; }));
  std::vector<std::unique_ptr<Client>> clients;
  while (f.reactor.counts().cut == 0 && clients.size() < 100) {
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
    REQUIRE(clients.back()->send(unfinished(false)));
    settle(f);
  }
  CHECK(f.reactor.counts().cut == 1);
  CHECK(f.reactor.counts().held <= 8'000'000);
  for (auto& client : clients) {
    REQUIRE(client->send("a"));
    const auto r = client->receive();
    REQUIRE(r);
    CHECK(r->status == 200);
  }
}

TEST_CASE("reactor: an answer larger than the whole budget costs its connection") {
  Fixture f(with_budget(1'000'000));
  Client client(f.reactor.port(), 8 * 1024);
  REQUIRE(client.send(get("/big?30000000")));
  CHECK(soon([&] { return f.reactor.counts().cut == 1; }));
  CHECK(soon([&] { return f.reactor.counts().open == 0; }));
  CHECK(f.reactor.counts().held == 0);
}

TEST_CASE("reactor: requests behind one that waits are not held when there is no room, and their client knows it") {
  Fixture f(with_budget(100'000));
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
    std::string all = get("/defer");
    while (all.size() < 30'000)
      all += get("/later");
    REQUIRE(clients.back()->send(all));
    f.service.ticket(i);
  }
  REQUIRE(f.reactor.counts().held <= 100'000);
  std::size_t closed = 0;
  for (std::size_t i = 0; i < 10; ++i) {
    REQUIRE(f.answer(f.service.ticket(i), "done"));
    const auto r = clients[i]->receive();
    REQUIRE(r);
    CHECK(r->body == "done");
    if (!r->has("Connection: close\r\n")) continue;
    ++closed;
    CHECK(clients[i]->ends());
  }
  CHECK(closed >= 6);
  CHECK(closed < 10);
}

TEST_CASE("reactor: a length that was only declared holds nothing") {
  HttpLimits limits = with_budget(64 * kMiB);
  limits.body_bytes = 64 * kMiB;
  Fixture f(limits);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
    REQUIRE(clients.back()->send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 67000000\r\n\r\nabc"));
  }
  REQUIRE(soon([&] { return f.reactor.counts().busy == 100; }));
  CHECK(f.reactor.counts().held <= 100 * 512);
  clients.clear();
  CHECK(soon([&] { return f.reactor.counts().held == 0; }));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("reactor: memory that is not to be had costs the connection that wanted it") {
  Fixture f;
  Client other(f.reactor.port());
  REQUIRE(other.send(get("/a")));
  REQUIRE(other.receive());
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  std::size_t total = 0;
  std::ifstream("/proc/self/statm") >> total;
  rlimit tight = before;
  tight.rlim_cur = total * 4096 + 100'000'000;
  REQUIRE(setrlimit(RLIMIT_AS, &tight) == 0);
  Client greedy(f.reactor.port());
  const bool sent = greedy.send(get("/big?1000000000"));
  const bool ended = greedy.ends();
  REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(sent);
  CHECK(ended);
  CHECK(f.rejected("out-of-memory") == 1);
  REQUIRE(other.send(get("/b")));
  const auto r = other.receive();
  REQUIRE(r);
  CHECK(r->status == 200);
  CHECK(is_quiet(f.reactor.counts()));
}
#endif
