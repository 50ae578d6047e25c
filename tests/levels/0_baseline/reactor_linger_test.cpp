// The reactor over real sockets: how a connection ends whose client is still sending.
#include "tests/levels/0_baseline/around_reactor.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

constexpr std::size_t kMebibyte = 1024 * 1024;

std::string refused_head(std::size_t bytes) {
  return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n";
}

}  // namespace

TEST_CASE("reactor: who sends a refused body to its end gets the answer, however large it is") {
  HttpLimits limits;
  limits.body_bytes = 1000;
  Fixture f(limits);
  const std::string block(kMebibyte, 'a');
  for (const std::size_t mebibytes : {1U, 17U, 40U, 64U}) {
    INFO(mebibytes);
    for (const bool chunked : {false, true}) {
      Client client(f.reactor.port());
      REQUIRE(client.send(chunked ? post_chunked("/", "") : refused_head(mebibytes * kMebibyte)));
      for (std::size_t sent = 0; sent < mebibytes; ++sent)
        REQUIRE(client.send(chunked ? "100000\r\n" + block + "\r\n" : block));
      if (chunked) REQUIRE(client.send("0\r\n\r\n"));
      const auto r = client.receive();
      REQUIRE(r);
      CHECK(r->status == 413);
      CHECK(r->has("Connection: close\r\n"));
      CHECK(client.ends());
    }
  }
  CHECK(soon([&] { return f.reactor.counts().open == 0; }));
}

TEST_CASE("reactor: while leaving no upload without end is waited for") {
  HttpLimits limits;
  limits.body_bytes = 1000;
  Fixture f(limits);
  Client before(f.reactor.port());
  REQUIRE(before.send(refused_head(1000 * kMebibyte)));
  REQUIRE(before.receive());
  Client after(f.reactor.port());
  REQUIRE(after.send("POST / HTTP/1.1\r\nHost: a\r\n"));
  REQUIRE(soon([&] { return f.reactor.counts().busy == 1; }));
  f.reactor.finish_idle();
  REQUIRE(after.send("Content-Length: 1048576000\r\n\r\n"));
  REQUIRE(after.receive());
  const std::string block(kMebibyte, 'a');
  for (Client* client : {&before, &after}) {
    std::size_t sent = 0;
    while (sent < 200 && client->send(block))
      ++sent;
    CHECK(sent < 200);
  }
  CHECK(soon([&] { return f.reactor.counts().open == 0; }));
}

TEST_CASE("reactor: who lingers takes nobody's place") {
  HttpLimits limits;
  limits.connections = 2;
  limits.body_bytes = 1000;
  limits.header_wait = 500ms;
  Fixture f(limits);
  Client first(f.reactor.port());
  REQUIRE(first.send(refused_head(kMebibyte)));
  REQUIRE(first.receive());
  Client second(f.reactor.port());
  REQUIRE(second.send(refused_head(kMebibyte)));
  REQUIRE(second.receive());
  REQUIRE(f.reactor.counts().open == 2);
  Client third(f.reactor.port());
  REQUIRE(third.send(get("/")));
  auto r = third.receive();
  REQUIRE(r);
  CHECK(r->status == 200);
  CHECK(f.reactor.counts().open == 2);  // the first went
  REQUIRE(second.send("a"));
  Client fourth(f.reactor.port());
  REQUIRE(fourth.send(get("/")));
  r = fourth.receive();
  REQUIRE(r);
  CHECK(r->status == 200);
  Client fifth(f.reactor.port());  // two are served: nobody is in nobody's way
  r = fifth.receive();
  REQUIRE(r);
  CHECK(r->status == 503);
  CHECK(f.rejected("connections") == 1);
}
