// The reactor over real sockets: opening, leaving, closing.
#include "levels/0_baseline/listener.hpp"
#include "tests/levels/0_baseline/around_reactor.hpp"

using namespace ratchet;
using namespace ratchet::tests;

TEST_CASE("reactor: an announced close is on every answer, and kept connections end with it") {
  Fixture f;
  Client kept(f.reactor.port());
  REQUIRE(kept.send(get("/a")));
  REQUIRE(kept.receive());
  f.reactor.announce_close();
  f.inside([](Reactor&) { return 0; });
  for (Client* client : {&kept}) {
    REQUIRE(client->send(get("/b")));
    const auto r = client->receive();
    REQUIRE(r);
    CHECK(r->has("Connection: close\r\n"));
    CHECK(client->ends());
  }
  Client fresh(f.reactor.port());
  REQUIRE(fresh.send(get("/c")));
  const auto r = fresh.receive();
  REQUIRE(r);
  CHECK(r->status == 200);
  CHECK(r->has("Connection: close\r\n"));
}

TEST_CASE("reactor: an answer may close the connection") {
  Fixture f;
  Client client(f.reactor.port());
  REQUIRE(client.send(get("/close") + get("/never")));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->has("Connection: close\r\n"));
  CHECK(client.ends());
  CHECK(f.reactor.counts().requests == 1);
}

TEST_CASE("reactor: closing the port loses no connection that was made") {
  for (int round = 0; round < 3; ++round) {
    Fixture f;
    CHECK_FALSE(f.reactor.port_closed());
    std::atomic<int> answered{0}, lost{0}, refused{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 16; ++i) {
      clients.emplace_back([&] {
        for (;;) {
          Client client(f.reactor.port());
          if (!client.connected()) {
            ++refused;
            return;
          }
          if (client.send(get("/a", "Connection: close\r\n")) && client.receive())
            ++answered;
          else
            ++lost;
        }
      });
    }
    REQUIRE(soon([&] { return answered > 500; }));
    f.reactor.close_port();
    for (auto& c : clients)
      c.join();
    CHECK(soon([&] { return f.reactor.port_closed(); }));
    CHECK(lost == 0);
    CHECK(refused == 16);
    CHECK(soon([&] { return f.reactor.counts().open == 0; }));
  }
}

TEST_CASE("reactor: closing the port serves who stands in its queue") {
  Fixture f;
  std::promise<void> go_on;
  REQUIRE(f.reactor.post([&](Reactor&) { go_on.get_future().wait(); }));  // nothing is accepted meanwhile
  std::vector<std::unique_ptr<Client>> clients;
  bool all = true;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
    all = all && clients.back()->connected() && clients.back()->send(get("/a"));
  }
  f.reactor.close_port();
  go_on.set_value();
  CHECK(all);
  for (auto& client : clients)
    CHECK(client->receive());
  CHECK(soon([&] { return f.reactor.port_closed(); }));
}

TEST_CASE("listener: once handshakes are stopped a new one gets no answer, and what was accepted still works") {
  auto opened = Listener::open({"127.0.0.1", 0}, TimePoint{});
  REQUIRE(opened);
  Listener listener = *std::move(opened);
  Client before(listener.port());
  REQUIRE(before.connected());
  listener.stop_handshakes();
  const int late = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(listener.port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // NOLINTNEXTLINE: the socket API wants it
  CHECK(::connect(late, reinterpret_cast<const sockaddr*>(&address), sizeof address) == -1);
  pollfd answered{late, POLLOUT, 0};
  CHECK(::poll(&answered, 1, 100) == 0);

  const auto accepted = listener.accept();
  REQUIRE(accepted.fd >= 0);
  CHECK(accepted.peer.view() == "127.0.0.1");
  CHECK(listener.accept().fd == -1);
  REQUIRE(before.send("x"));
  pollfd readable{accepted.fd, POLLIN, 0};
  CHECK(::poll(&readable, 1, 20'000) == 1);  // its packets, of fewer hops, are taken
  ::close(accepted.fd);

  listener.close();
  CHECK(::poll(&answered, 1, 20'000) == 1);  // the repeated first packet is refused
  int error = 0;
  socklen_t size = sizeof error;
  CHECK(getsockopt(late, SOL_SOCKET, SO_ERROR, &error, &size) == 0);
  CHECK(error == ECONNREFUSED);
  ::close(late);
}

TEST_CASE("reactor: a closed port keeps its connections") {
  Fixture f;
  Client client(f.reactor.port());
  REQUIRE(client.send(get("/a")));
  REQUIRE(client.receive());
  f.reactor.close_port();
  REQUIRE(soon([&] { return f.reactor.port_closed(); }));
  REQUIRE(client.send(get("/b")));
  CHECK(client.receive());
  CHECK(f.reactor.listen({"127.0.0.1", 0}));  // and may be opened again
  Client again(f.reactor.port());
  REQUIRE(again.send(get("/c")));
  CHECK(again.receive());
}

TEST_CASE("reactor: while falling every request gets the same answer, except those that are with the service") {
  Fixture f;
  Client waiting(f.reactor.port()), idle(f.reactor.port());
  REQUIRE(waiting.send(get("/defer")));
  REQUIRE(idle.send(get("/a")));
  REQUIRE(idle.receive());
  const Ticket ticket = f.service.ticket(0);
  f.reactor.refuse_all(
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndown");
  f.inside([](Reactor&) { return 0; });
  REQUIRE(idle.send("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx"));  // its body is not waited for
  auto r = idle.receive();
  REQUIRE(r);
  CHECK(r->status == 503);
  CHECK(r->has("Retry-After: 7"));
  CHECK(r->body == "down");
  CHECK(idle.ends());
  CHECK(f.rejected("level") == 1);
  {
    Client fresh(f.reactor.port());
    REQUIRE(fresh.send("HEAD /c HTTP/1.1\r\nHost: a\r\n\r\n"));
    r = fresh.receive(true);
    REQUIRE(r);
    CHECK(r->status == 503);
    CHECK(fresh.ends());  // no body
  }
  CHECK(f.answer(ticket, "in time"));
  r = waiting.receive();
  REQUIRE(r);
  CHECK(r->body == "in time");
}

TEST_CASE("reactor: finishing closes what is idle at once, and the rest as soon as it is") {
  Fixture f;
  Client idle(f.reactor.port()), waiting(f.reactor.port()), half(f.reactor.port());
  REQUIRE(idle.send(get("/a")));
  REQUIRE(idle.receive());
  REQUIRE(waiting.send(get("/defer")));
  REQUIRE(half.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na"));
  const Ticket ticket = f.service.ticket(0);
  REQUIRE(soon([&] { return f.reactor.counts().busy == 2; }));
  f.reactor.finish_idle();
  CHECK(idle.ends());
  CHECK(waiting.is_silent_for(50ms));
  CHECK(half.is_silent_for(1ms));
  REQUIRE(half.send("bc"));
  auto r = half.receive();
  REQUIRE(r);
  CHECK(r->body == "POST /echo abc");
  CHECK(r->has("Connection: close"));
  CHECK(half.ends());
  CHECK(f.answer(ticket, "done"));
  r = waiting.receive();
  REQUIRE(r);
  CHECK(r->has("Connection: close"));
  CHECK(waiting.ends());
  CHECK(f.reactor.counts().cut == 0);
}

TEST_CASE("reactor: a cut closes everything, and counts the requests that were not answered") {
  Fixture f;
  Client idle(f.reactor.port()), waiting(f.reactor.port()), half(f.reactor.port());
  REQUIRE(idle.send(get("/a")));
  REQUIRE(idle.receive());
  REQUIRE(waiting.send(get("/defer")));
  REQUIRE(half.send("GET /"));
  const Ticket ticket = f.service.ticket(0);
  REQUIRE(soon([&] { return f.reactor.counts().busy == 2; }));
  f.reactor.cut();
  CHECK(soon([&] { return f.reactor.counts().open == 0; }));
  CHECK(f.reactor.counts().cut == 2);
  CHECK(is_quiet(f.reactor.counts()));
  CHECK(f.reactor.port_closed());
  CHECK(idle.ends());
  CHECK_FALSE(waiting.receive());
  CHECK_FALSE(f.answer(ticket, "too late"));
}

TEST_CASE("reactor: a port that is taken is a fault, and can be had later") {
  Fixture first;
  Fixture second;  // has a port of its own
  tests::RealTime time;
  Metrics metrics;
  Reactor third({"third", {}}, second.service, time, second.log, metrics);
  CHECK(third.port_closed());
  const auto taken = third.listen({"127.0.0.1", first.reactor.port()});
  REQUIRE_FALSE(taken);
  CHECK(taken.error().kind == FaultKind::address_in_use);
  CHECK(taken.error().level == 0);
  const auto nonsense = third.listen({"no.such.host", 1});
  CHECK_FALSE(nonsense);
  first.reactor.close_port();
  REQUIRE(soon([&] { return first.reactor.port_closed(); }));
  CHECK(third.listen({"127.0.0.1", first.reactor.port()}));
  const auto twice = third.listen({"127.0.0.1", 0});
  CHECK_FALSE(twice);
}

TEST_CASE("reactor: a socket that listens already is adopted, any other is not") {
  Fixture f;  // only for its parts
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // NOLINTNEXTLINE: the socket API wants it
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  Reactor reactor({"adopted", {}}, f.service, f.time, f.log, f.metrics);
  CHECK_FALSE(reactor.adopt(::dup(fd)));  // does not listen yet
  REQUIRE(::listen(fd, 16) == 0);
  const int spoilt = 255;  // what a predecessor left that was about to close it
  REQUIRE(setsockopt(fd, IPPROTO_IP, IP_MINTTL, &spoilt, sizeof spoilt) == 0);
  REQUIRE(reactor.adopt(fd));
  Client client(reactor.port());
  REQUIRE(client.send(get("/a")));
  CHECK(client.receive());
}

TEST_CASE("reactor: an IPv4 client of an IPv6 port is named by its IPv4 address") {
  Fixture f({}, "::");
  Client client(f.reactor.port());  // IPv4 to a socket of IPv6
  REQUIRE(client.connected());
  REQUIRE(client.send(get("/peer")));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "127.0.0.1");
  f.reactor.close_port();
  CHECK(soon([&] { return f.reactor.port_closed(); }));
}

TEST_CASE("reactor: its loop turns at least once a second though nothing happens") {
  Fixture f;
  const TimePoint before = f.time.now();
  CHECK(soon([&] { return f.reactor.turned() > before + 500ms; }));
}

TEST_CASE("reactor: stopping closes what is open and runs what was posted") {
  std::atomic<int> ran{0};
  std::optional<Client> client;
  {
    Fixture f;
    client.emplace(f.reactor.port());
    REQUIRE(client->send(get("/defer")));
    f.service.ticket(0);
    for (int i = 0; i < 100; ++i)
      CHECK(f.reactor.post([&](Reactor&) { ++ran; }));
  }
  CHECK(ran == 100);
  CHECK_FALSE(client->receive());
}
