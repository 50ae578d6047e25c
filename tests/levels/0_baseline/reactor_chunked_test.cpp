// Chunked requests over real sockets: whole, in pieces, pipelined, and under every limit.
#include "tests/levels/0_baseline/around_reactor.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

std::string chunk(std::string_view data) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  return size + std::string(data) + "\r\n";
}

HttpLimits quick(std::chrono::milliseconds body_wait) {
  HttpLimits limits;
  limits.body_bytes = 1000;
  limits.body_wait = body_wait;
  return limits;
}

}  // namespace

TEST_CASE("reactor: a chunked body arrives decoded, among requests of other kinds") {
  Fixture f;
  Client client(f.reactor.port());
  REQUIRE(client.send(post_chunked("/echo", chunk("hello") + chunk(" world") + "0\r\nX-Sum: 1\r\n\r\n") +
                      post("/echo", "plain") + post_chunked("/echo", "0\r\n\r\n") + get("/last")));
  for (const char* expected : {"POST /echo hello world", "POST /echo plain", "POST /echo ", "GET /last "}) {
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->body == expected);
  }
  CHECK(f.reactor.counts().requests == 4);
  CHECK_FALSE(f.service.spoilt);
}

TEST_CASE("reactor: a chunked request may come byte by byte, and the next one with its last") {
  Fixture f;
  Client client(f.reactor.port());
  const std::string all = post_chunked("/echo", chunk("hello") + chunk("!") + "0\r\n\r\n") +
                          post_chunked("/close", chunk("bye") + "0\r\n\r\n");
  for (const char c : all)
    REQUIRE(client.send({&c, 1}));
  CHECK(client.receive()->body == "POST /echo hello!");
  CHECK(client.receive()->body == "POST /close bye");
  CHECK(client.ends());
  CHECK(soon([&] { return is_quiet(f.reactor.counts()); }));
}

TEST_CASE("reactor: a large chunked body arrives whole") {
  Fixture f;
  Client client(f.reactor.port());
  std::string body, chunks;
  for (int i = 0; body.size() < 900'000; ++i) {
    const std::string piece(static_cast<std::size_t>(1 + i * 37 % 5000), static_cast<char>('a' + i % 26));
    body += piece;
    chunks += chunk(piece);
  }
  REQUIRE(client.send(post_chunked("/echo", chunks + "0\r\n\r\n")));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "POST /echo " + body);
}

TEST_CASE("reactor: a chunked request that waits keeps its place before the next") {
  Fixture f;
  Client client(f.reactor.port());
  REQUIRE(
      client.send(post_chunked("/defer", chunk("a") + "0\r\n\r\n") + post_chunked("/echo", chunk("b") + "0\r\n\r\n")));
  const Ticket first = f.service.ticket(0);
  CHECK(client.is_silent_for(100ms));
  CHECK(f.answer(first, "done"));
  CHECK(client.receive()->body == "done");
  CHECK(client.receive()->body == "POST /echo b");
}

TEST_CASE("reactor: a chunked body over the limit is refused when its chunk is announced") {
  Fixture f(quick(10s));
  Client client(f.reactor.port());
  REQUIRE(client.send(post_chunked("/echo", chunk(std::string(900, 'a')) + "65\r\n")));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 413);
  CHECK(client.ends());
  CHECK(f.rejected("body-too-large") == 1);
  CHECK(f.reactor.counts().requests == 0);
}

TEST_CASE("reactor: a malformed chunk ends the connection, and what follows it is not served") {
  Fixture f;
  Client client(f.reactor.port());
  REQUIRE(client.send(post_chunked("/echo", "5\r\nhello!\r\n0\r\n\r\n") + get("/smuggled")));
  CHECK(client.receive()->status == 400);
  CHECK(client.ends());
  CHECK(f.reactor.counts().requests == 0);
  CHECK(soon([&] { return is_quiet(f.reactor.counts()); }));
}

TEST_CASE("reactor: a chunked body that trickles is ended by the body's deadline") {
  Fixture f(quick(200ms));
  Client client(f.reactor.port());
  REQUIRE(client.send(post_chunked("/echo", "5\r\nhe")));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 408);
  CHECK(client.ends());
}

TEST_CASE("reactor: 100 Continue is said to a chunked request, too") {
  Fixture f;
  Client client(f.reactor.port());
  REQUIRE(client.send(post_chunked("/echo", "", "Expect: 100-continue\r\n")));
  CHECK(client.receive()->status == 100);
  REQUIRE(client.send(chunk("hello") + "0\r\n\r\n"));
  CHECK(client.receive()->body == "POST /echo hello");
}

TEST_CASE("reactor: finishing waits for a chunked request that has begun, and a cut counts it") {
  Fixture f;
  Client one(f.reactor.port()), other(f.reactor.port());
  REQUIRE(one.send(post_chunked("/echo", "5\r\nhe")));
  REQUIRE(other.send(post_chunked("/echo", "5\r\nhe")));
  REQUIRE(soon([&] { return f.reactor.counts().busy == 2; }));
  f.reactor.finish_idle();
  CHECK(one.is_silent_for(50ms));
  REQUIRE(one.send("llo\r\n0\r\n\r\n"));
  CHECK(one.receive()->body == "POST /echo hello");
  CHECK(one.ends());
  f.reactor.cut();
  CHECK(other.ends());
  CHECK(f.reactor.counts().cut == 1);
}
