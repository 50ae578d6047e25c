#include "levels/3_service/kept_port.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/support/catch.hpp"
#include "tests/support/raw_http.hpp"
#include "tests/support/real_time.hpp"

using namespace ratchet;
using namespace ratchet::service;
using ratchet::tests::comes_true;
using ratchet::tests::RawHttp;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// systemd's side: a duplicate, as long as it is wanted.
struct FakeStore final : PortStore {
  ~FakeStore() override { drop(); }
  bool exists() const noexcept override { return there; }
  void store(int fd) override {
    drop();
    if (there) kept = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  }
  void remove() override {
    drop();
    ++removed;
  }
  void drop() {
    if (kept >= 0) ::close(std::exchange(kept, -1));
  }
  int give() const { return ::fcntl(kept, F_DUPFD_CLOEXEC, 0); }

  bool there = true;
  int kept = -1;
  int removed = 0;
};

std::uint16_t port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

struct House {
  std::unique_ptr<KeptPort> start(std::vector<KeptPort::Inherited> inherited = {}) {
    return std::make_unique<KeptPort>(
        KeptPort::Parts{listen,
                        milliseconds(100),
                        {},
                        store,
                        [this] { return exiting; },
                        [] {
                          return std::string(
                              "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 3\r\n"
                              "Connection: close\r\n\r\n");
                        },
                        time,
                        log,
                        metrics},
        std::move(inherited));
  }
  // Raised, then gone as `way` says; what the next process inherits.
  std::vector<KeptPort::Inherited> left_open() {
    auto port = start();
    const auto fd = port->open();
    REQUIRE(fd);
    listen.port = port_of(*fd);
    exiting = true;
    port->expect_restart();
    REQUIRE(port->is_restart());
    ::close(*fd);
    port->leave();
    port.reset();
    exiting = false;
    REQUIRE(store.kept >= 0);
    return {{store.give(), "http"}};
  }

  tests::RealTime time;
  Log log{LogSettings{LogFormat::text, 3, false}, time};
  Metrics metrics;
  FakeStore store;
  ListenAddress listen{"127.0.0.1", 0};
  bool exiting = false;
};

}  // namespace

TEST_CASE("kept port: level 3's socket is stored; closing the port empties the store first") {
  House house;
  auto port = house.start();
  const auto fd = port->open();
  REQUIRE(fd);
  const auto number = port_of(*fd);
  CHECK(house.store.kept >= 0);
  port->forget();
  CHECK(house.store.kept < 0);
  CHECK(RawHttp(number).connected());  // the reactor's own is the last one
  ::close(*fd);
  CHECK_FALSE(RawHttp(number).connected());
}

TEST_CASE("kept port: who came between two processes is served by the second") {
  House house;
  auto inherited = house.left_open();
  RawHttp client(house.listen.port);
  REQUIRE(client.connected());
  auto next = house.start(inherited);
  const auto fd = next->open();
  REQUIRE(fd);
  CHECK(port_of(*fd) == house.listen.port);
  const int accepted = ::accept(*fd, nullptr, nullptr);
  CHECK(accepted >= 0);
  ::close(accepted);
  ::close(*fd);
}

TEST_CASE("kept port: a way out is a restart only if announced lately, to an exit, with a store") {
  House house;
  auto port = house.start();
  house.exiting = true;
  CHECK_FALSE(port->is_restart());
  port->expect_restart();
  CHECK(port->is_restart());
  house.exiting = false;  // a hold, a drain: the process stays
  CHECK_FALSE(port->is_restart());
  house.exiting = true;
  house.store.there = false;
  CHECK_FALSE(port->is_restart());
}

TEST_CASE("kept port: what is not service.listen is closed and taken out of the store") {
  House house;
  const auto inherited = house.left_open();
  SECTION("another address") { house.listen.host = "127.0.0.2"; }
  SECTION("another port") { ++house.listen.port; }
  SECTION("another family") { house.listen.host = "::1"; }
  const auto next = house.start(inherited);
  CHECK(house.store.kept < 0);
  CHECK(::fcntl(inherited[0].fd, F_GETFD) < 0);
}

TEST_CASE("kept port: a socket that does not listen, and another name, are refused") {
  House house;
  const int stranger = ::socket(AF_INET, SOCK_STREAM, 0);
  const int other = ::socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(::listen(other, 1) == 0);
  house.listen.port = port_of(other);
  house.listen.host = "0.0.0.0";
  const auto port = house.start({{stranger, "http"}, {other, "ops"}});
  CHECK(::fcntl(stranger, F_GETFD) < 0);
  CHECK(::fcntl(other, F_GETFD) < 0);
  CHECK(house.store.removed == 1);
}

TEST_CASE("kept port: a unix socket is taken over as long as clients find its file") {
  House house;
  char folder[] = "/tmp/ratchet-kept-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  house.listen = {"", 0, std::string(folder) + "/service.sock"};
  const auto listener = http::Listener::open(house.listen, house.time.now());
  REQUIRE(listener);
  CHECK(http::Listener::listens_on(listener->fd(), house.listen));
  CHECK_FALSE(http::Listener::listens_on(listener->fd(), {"", 0, house.listen.path + "x"}));
  CHECK_FALSE(http::Listener::listens_on(listener->fd(), {"127.0.0.1", 0}));
  ::unlink(house.listen.path.c_str());
  CHECK_FALSE(http::Listener::listens_on(listener->fd(), house.listen));
  ::unlink((house.listen.path + ".lock").c_str());
  ::rmdir(folder);
}

TEST_CASE("kept port: without level 3 in time who waits is told 503, and nothing listens any more") {
  House house;
  auto inherited = house.left_open();
  auto next = house.start(inherited);
  RawHttp client(house.listen.port);
  REQUIRE(client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  REQUIRE(comes_true([&] {
    next->turn(house.time.now());
    return house.store.kept < 0;
  }));
  const auto answer = client.read();
  REQUIRE(answer);
  CHECK(answer->status == 503);
  CHECK(answer->header("retry-after") == "3");
  CHECK(comes_true([&] { return !RawHttp(house.listen.port).connected(); }));

  // Level 3 may come at any moment of it: it waits for the port.
  const auto fd = next->open();
  REQUIRE(fd);
  CHECK(house.store.kept >= 0);
  next->turn(house.time.now());
  CHECK(RawHttp(house.listen.port).connected());
  ::close(*fd);
}
