// The reactor over real sockets: who is let in at the limit of connections, and who must go for it.
#include "tests/levels/0_baseline/around_reactor.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

HttpLimits at_most(std::size_t connections) {
  HttpLimits limits;
  limits.connections = connections;
  return limits;
}

std::vector<std::unique_ptr<Client>> silent(Fixture& f, std::size_t count) {
  std::vector<std::unique_ptr<Client>> clients;
  const std::uint64_t before = f.reactor.counts().accepted;
  for (std::size_t i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
    REQUIRE(clients.back()->connected());
  }
  REQUIRE(soon([&] { return f.reactor.counts().accepted == before + count; }));
  return clients;
}

bool is_served(Client& client, const std::string& path) {
  if (!client.send(get(path))) return false;
  const auto r = client.receive();
  return r && r->status == 200;
}

double given_up(Fixture& f, const char* was) {
  return f.metrics.counter("ratchet_connections_given_up_total", "", {{"port", "test"}, {"was", was}}).value();
}

}  // namespace

TEST_CASE("admission: at the limit a request displaces the oldest that never sent a byte, quiet newcomers nobody") {
  Fixture f(at_most(3));
  auto first = silent(f, 3);
  auto second = silent(f, 3);  // in the reserve
  CHECK(f.reactor.counts().open == 6);
  CHECK(given_up(f, "silent") == 0);
  Client client(f.reactor.port());
  REQUIRE(is_served(client, "/a"));
  CHECK(first[0]->ends());
  CHECK(given_up(f, "silent") == 1);
  CHECK(is_served(*first[1], "/b"));
  CHECK(is_served(*second[0], "/c"));  // for it first[2] went
  CHECK(first[2]->ends());
  CHECK(is_served(client, "/a"));
  CHECK(given_up(f, "silent") == 2);
  CHECK(f.rejected("connections") == 0);
}

TEST_CASE("admission: with none that is silent the longest idle of the address that holds most goes") {
  Fixture f(at_most(4));
  Client other(f.reactor.port(), 0, false);
  REQUIRE(other.come_from(2));
  REQUIRE(is_served(other, "/o"));  // the longest idle of all, but its address holds one only
  std::vector<std::unique_ptr<Client>> many = silent(f, 3);
  for (auto& one : many)
    REQUIRE(is_served(*one, "/m"));
  REQUIRE(is_served(*many[0], "/m"));  // now many[1] is the longest idle
  Client late(f.reactor.port());
  REQUIRE(is_served(late, "/l"));
  CHECK(many[1]->ends());
  CHECK(is_served(other, "/o"));
  CHECK(is_served(*many[0], "/m"));
  CHECK(given_up(f, "idle") == 1);
}

TEST_CASE("admission: a request in progress is never given up; others are told 503, but for health") {
  Fixture f(at_most(2));
  Client a(f.reactor.port()), b(f.reactor.port());
  REQUIRE(a.send(get("/defer")));
  const Ticket ticket = f.service.ticket(0);
  REQUIRE(b.send("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"));
  REQUIRE(soon([&] { return f.reactor.counts().busy == 2; }));
  {
    Client c(f.reactor.port());
    CHECK(c.send(post("/c", std::string(100'000, 'x'))));
    const auto r = c.receive();
    REQUIRE(r);
    CHECK(r->status == 503);
    CHECK(r->has("Retry-After: 1\r\n"));
    CHECK(r->has("Connection: close\r\n"));
    CHECK(r->body == "connections");
    CHECK(c.ends());
  }
  CHECK(f.rejected("connections") == 1);
  {
    Client probe(f.reactor.port());
    REQUIRE(probe.send(get("/live")));
    const auto r = probe.receive();
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->has("Connection: close\r\n"));  // the reserve is for the next one
    CHECK(probe.ends());
  }
  REQUIRE(f.answer(ticket, "done"));
  REQUIRE(a.receive());
  REQUIRE(b.send("defghij"));
  const auto r = b.receive();
  REQUIRE(r);
  CHECK(r->body == "POST /b abcdefghij");
  Client d(f.reactor.port());
  CHECK(is_served(d, "/d"));
}

TEST_CASE("admission: an idle connection whose next request has arrived is not given up") {
  Fixture f(at_most(1));
  Client a(f.reactor.port());
  REQUIRE(is_served(a, "/a"));
  // All at once, so that the reactor meets both in one turn: whichever it looks at first, none is lost.
  for (int i = 0; i < 50; ++i) {
    Client b(f.reactor.port());
    f.inside([&](Reactor&) { return a.send(get("/defer")) && b.send(get("/b")); });
    const Ticket ticket = f.service.ticket(static_cast<std::size_t>(i));
    const auto refused = b.receive();
    REQUIRE(refused);
    CHECK(refused->status == 503);
    REQUIRE(f.answer(ticket, "mine"));
    const auto mine = a.receive();
    REQUIRE(mine);
    CHECK(mine->body == "mine");
  }
}

TEST_CASE("admission: more than the reserve are told so in order, and health is answered all the while") {
  Fixture f(at_most(1));
  Client busy(f.reactor.port());
  REQUIRE(busy.send(get("/defer")));
  f.service.ticket(0);
  auto quiet = silent(f, 3 * kReserve);
  Client probe(f.reactor.port());
  REQUIRE(is_served(probe, "/live"));
  for (std::size_t i = 0; i < 2 * kReserve; ++i) {
    const auto r = quiet[i]->receive();
    REQUIRE(r);
    CHECK(r->status == 503);
  }
  CHECK(quiet[3 * kReserve - 1]->is_silent_for(1ms));
}

TEST_CASE("admission: a flood of refused ones uses no more slots than there are") {
  Fixture f(at_most(1));
  Client busy(f.reactor.port());
  REQUIRE(busy.send(get("/defer")));
  f.service.ticket(0);
  auto quiet = silent(f, 4 * most_connections(1));
  CHECK(f.reactor.counts().open <= most_connections(1));
  Client probe(f.reactor.port());
  CHECK(is_served(probe, "/live"));
}

TEST_CASE("admission: a head that does not get ready gives way to one that is whole") {
  HttpLimits limits = at_most(1);
  limits.header_wait = 60s;
  Fixture f(limits);
  Client slow(f.reactor.port());
  REQUIRE(slow.send("GET / HT"));
  REQUIRE(soon([&] { return f.reactor.counts().busy == 1; }));
  const bool in = soon([&] {
    Client client(f.reactor.port());
    return is_served(client, "/a");
  });
  CHECK(in);
  const auto r = slow.receive();
  REQUIRE(r);
  CHECK(r->status == 408);
  CHECK(f.rejected("slow-header") == 1);
}

TEST_CASE("admission: one address has no more than its share, but may ask for health") {
  HttpLimits limits = at_most(10);
  limits.connections_per_address = 2;
  Fixture f(limits);
  Client a(f.reactor.port()), b(f.reactor.port());
  REQUIRE(is_served(a, "/a"));
  REQUIRE(is_served(b, "/b"));
  {
    Client c(f.reactor.port());
    REQUIRE(c.send(get("/c")));
    const auto r = c.receive();
    REQUIRE(r);
    CHECK(r->status == 429);
    CHECK(r->has("Retry-After: 1\r\n"));
    CHECK(r->body == "connections-per-address");
    CHECK(c.ends());
  }
  CHECK(f.rejected("connections-per-address") == 1);
  Client probe(f.reactor.port());
  CHECK(is_served(probe, "/live"));
  Client other(f.reactor.port(), 0, false);
  REQUIRE(other.come_from(2));
  CHECK(is_served(other, "/o"));
  CHECK(is_served(a, "/a"));
}

TEST_CASE("admission: behind a PROXY header the address is the client's, before it nobody's") {
  Fixture f;
  HttpLimits limits = at_most(200);
  limits.connections_per_address = 2;
  Reactor reactor({"proxied", limits, true, {}}, f.service, f.time, f.log, f.metrics);
  REQUIRE(reactor.listen({"127.0.0.1", 0, ""}));
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < 2 * kReserve; ++i)  // all of them from the balancer's address, and more than its share
    clients.push_back(std::make_unique<Client>(reactor.port()));
  REQUIRE(soon([&] { return reactor.counts().open == 2 * kReserve; }));
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const std::string from = "PROXY TCP4 192.0.2." + std::to_string(i / 2) + " 192.0.2.250 1234 80\r\n";
    REQUIRE(clients[i]->send(from));
    CHECK(is_served(*clients[i], "/a"));
  }
  Client third(reactor.port());
  REQUIRE(third.send("PROXY TCP4 192.0.2.0 192.0.2.250 1234 80\r\n" + get("/third")));
  const auto r = third.receive();
  REQUIRE(r);
  CHECK(r->status == 429);
}

TEST_CASE("admission: a trusted proxy's connections are many clients'") {
  Fixture f;
  HttpLimits limits = at_most(200);
  limits.connections_per_address = 2;
  Reactor reactor({"trusting", limits, false, TrustedProxies({"127.0.0.1"})}, f.service, f.time, f.log, f.metrics);
  REQUIRE(reactor.listen({"127.0.0.1", 0, ""}));
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<Client>(reactor.port()));
    CHECK(is_served(*clients.back(), "/a"));
  }
}
