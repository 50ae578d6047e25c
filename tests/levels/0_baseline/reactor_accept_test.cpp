// Every way in which accept() may fail, by an accept4() of our own in front of the real one.
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>

#include "tests/levels/0_baseline/around_reactor.hpp"

namespace {
std::atomic<int> accept_error{0};     // how the next calls fail ...
std::atomic<int> accept_failures{0};  // ... so many of them
}  // namespace

extern "C" int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  if (accept_failures.load() > 0) {
    --accept_failures;
    errno = accept_error;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_accept4, fd, address, size, flags));
}

using namespace ratchet;
using namespace ratchet::tests;

TEST_CASE("reactor: no error of accept() ends the port, and what was open is served meanwhile") {
  HttpLimits limits;
  Fixture f(limits);
  Client open(f.reactor.port());
  REQUIRE(open.send(get("/first")));
  REQUIRE(open.receive());
  for (const int error :
       {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPROTO, EPERM, EINTR, ENETDOWN, EHOSTUNREACH, ETIMEDOUT}) {
    CAPTURE(error);
    const double before = f.rejected("out-of-files");
    accept_error = error;
    accept_failures = 3;
    Client late(f.reactor.port());  // the kernel has made the connection already
    REQUIRE(late.connected());
    REQUIRE(open.send(get("/meanwhile")));
    CHECK(open.receive()->body == "GET /meanwhile ");
    REQUIRE(late.send(get("/late")));
    CHECK(late.receive()->body == "GET /late ");
    CHECK(accept_failures == 0);
    const bool pauses = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
    CHECK((f.rejected("out-of-files") > before) == pauses);
  }
  CHECK_FALSE(f.reactor.port_closed());
}
