// The reactor over real sockets that take a few bytes at a time.
#include <dlfcn.h>

#include "tests/levels/0_baseline/around_reactor.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

// What one send() of the reactor takes at most, and how many of them take anything; the rest finds a full socket.
std::atomic<std::size_t> most_per_send{~std::size_t{0}};
std::atomic<int> sends_left{-1};  // below 0: any number

struct Narrow {
  Narrow(std::size_t most, int sends) {
    most_per_send = most;
    sends_left = sends;
  }
  ~Narrow() {
    sends_left = -1;
    most_per_send = ~std::size_t{0};
  }
};

}  // namespace

// Stands before libc's, for this program. Only the reactor sends with these flags.
extern "C" ssize_t send(int fd, const void* bytes, std::size_t size, int flags) {
  using Send = ssize_t (*)(int, const void*, std::size_t, int);
  static const auto real = reinterpret_cast<Send>(::dlsym(RTLD_NEXT, "send"));  // NOLINT: dlsym's way
  if (flags == (MSG_NOSIGNAL | MSG_DONTWAIT) && sends_left >= 0) {
    if (sends_left == 0) {
      errno = EAGAIN;
      return -1;
    }
    --sends_left;
    size = std::min(size, most_per_send.load());
  }
  return real(fd, bytes, size, flags);
}

TEST_CASE("reactor: an answer that follows a part of 100 Continue repeats none of it") {
  for (const std::string way : {"Content-Length: 2\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"}) {
    INFO(way);
    Fixture f;
    Client client(f.reactor.port());
    REQUIRE(client.send(get("/before")));
    REQUIRE(client.receive());
    const bool chunked = way[0] == 'T';
    {
      const Narrow narrow(5, 2);  // of 25: five when it is said, five more with the next event, then nothing
      REQUIRE(client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + way));
      REQUIRE(soon([&] { return sends_left == 1; }));
      REQUIRE(client.send(chunked ? "1\r\na\r\n" : "a"));
      REQUIRE(soon([&] { return sends_left == 0; }));
      REQUIRE(client.send(chunked ? "1\r\nb\r\n0\r\n\r\n" : "b"));
      REQUIRE(soon([&] { return f.reactor.counts().requests == 2; }));
    }
    REQUIRE(client.send(get("/after")));  // an event: the socket was never full
    auto r = client.receive();
    REQUIRE(r);
    CHECK(r->head == "HTTP/1.1 100 Continue\r\n\r\n");
    r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->body == "POST /echo ab");
    r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "GET /after ");
  }
}
