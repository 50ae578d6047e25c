// The reactor over real sockets: what is decided by a request's head, before its body is there.
#include "tests/levels/0_baseline/around_reactor.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

std::string head(std::string_view path, std::string_view rest) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(rest) + "\r\n";
}

void is_refused(Client& client, bool closed) {
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 404);
  CHECK(r->body == "not wanted");
  CHECK(r->has("Connection: close\r\n") == closed);
  if (closed) CHECK(client.ends());
}

}  // namespace

TEST_CASE("reactor: a body that is not wanted is not asked for") {
  Fixture f;
  for (const std::string_view rest : {"Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"}) {
    Client client(f.reactor.port());
    REQUIRE(client.send(head("/no", std::string(rest) + "Expect: 100-continue\r\n")));
    is_refused(client, true);
    Client wanted(f.reactor.port());
    REQUIRE(wanted.send(head("/yes", std::string(rest) + "Expect: 100-continue\r\n")));
    auto r = wanted.receive();
    REQUIRE(r);
    CHECK(r->status == 100);
    REQUIRE(wanted.send(rest[0] == 'C' ? "abc" : "3\r\nabc\r\n0\r\n\r\n"));
    r = wanted.receive();
    REQUIRE(r);
    CHECK(r->body == "POST /yes abc");
  }
}

TEST_CASE("reactor: a small body that is not wanted is thrown away, and its connection is kept") {
  Fixture f;
  Client client(f.reactor.port());
  for (const std::size_t first : {0U, 1U, 9U}) {
    for (const std::size_t size : {10U, 65'536U}) {
      const std::string body(size, '\n');
      REQUIRE(client.send(head("/no", "Content-Length: " + std::to_string(size) + "\r\n") + body.substr(0, first)));
      is_refused(client, false);
      REQUIRE(client.send(body.substr(first) + get("/next")));
      const auto r = client.receive();
      REQUIRE(r);
      CHECK(r->body == "GET /next ");
    }
  }
  CHECK(f.reactor.counts().accepted == 1);
  CHECK(f.reactor.counts().held == 0);
  CHECK(is_quiet(f.reactor.counts()));
  CHECK_FALSE(f.service.spoilt);
}

TEST_CASE("reactor: a large body that is not wanted ends its connection after the answer") {
  Fixture f;
  const std::string large(1024 * 1024, 'a');
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(head("/no", "Content-Length: 1048576\r\n")));
    is_refused(client, true);
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(head("/no", "Content-Length: 1048576\r\n") + large + get("/next")));
    is_refused(client, true);
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(head("/no", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n"));
    is_refused(client, true);
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(head("/no", "Content-Length: 3\r\nConnection: close\r\n")));
    is_refused(client, true);
  }
}

TEST_CASE("reactor: a request that is whole is the service's, body and all") {
  Fixture f;
  Client client(f.reactor.port());
  REQUIRE(client.send(post("/no", "abc") + post_chunked("/no", "3\r\nabc\r\n0\r\n\r\n") + get("/next")));
  for (const std::string_view body : {"POST /no abc", "POST /no abc", "GET /next "}) {
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->body == body);
  }
}

TEST_CASE("reactor: who is refused by the head and then goes quiet is not kept for long") {
  Fixture f;
  Client client(f.reactor.port());
  REQUIRE(client.send(head("/no", "Content-Length: 10\r\n")));
  is_refused(client, false);
  CHECK(client.ends());
  CHECK(f.reactor.counts().cut == 0);
}
