// Who the client is: through a unix socket, behind a PROXY header, behind trusted proxies.
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>

#include "levels/0_baseline/listener.hpp"
#include "tests/levels/0_baseline/around_reactor.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

Reactor::Options behind_proxy(bool proxy_protocol, const std::vector<std::string>& trusted = {}) {
  HttpLimits limits;
  limits.header_wait = 300ms;
  return {"test", limits, proxy_protocol, TrustedProxies(trusted)};
}

struct Behind {
  explicit Behind(Reactor::Options options) : reactor(std::move(options), f.service, f.time, f.log, f.metrics) {
    REQUIRE(reactor.listen({"127.0.0.1", 0, ""}));
  }
  Fixture f;
  Reactor reactor;
};

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "ratchet-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// -1: refused.
int connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  // NOLINTNEXTLINE: the socket API wants it
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

std::string asked(int fd, const std::string& request) {
  REQUIRE(::send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()));
  ::shutdown(fd, SHUT_WR);
  std::string answer(4096, '\0');
  std::size_t size = 0;
  for (ssize_t n = 1; n > 0; size += static_cast<std::size_t>(std::max<ssize_t>(n, 0)))
    n = ::recv(fd, answer.data() + size, answer.size() - size, 0);
  ::close(fd);
  return answer.substr(0, size);
}

constexpr const char* kProxy = "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";

}  // namespace

TEST_CASE("reactor: a unix socket serves, with mode 0660, and takes the place of a stale one") {
  const Folder folder;
  const std::string path = folder / "http.sock";
  Fixture f;
  for (int round = 0; round < 2; ++round) {
    Reactor reactor(behind_proxy(false), f.service, f.time, f.log, f.metrics);
    REQUIRE(reactor.listen({"", 0, path}));
    struct stat found {};
    REQUIRE(::stat(path.c_str(), &found) == 0);
    CHECK((found.st_mode & 07777) == 0660);
    const int fd = connect_to(path);
    REQUIRE(fd >= 0);
    CHECK(asked(fd, get("/echo")).find("GET /echo") != std::string::npos);
  }
  CHECK(connect_to(path) == -1);  // the file is there, nobody listens
}

TEST_CASE("reactor: a unix socket on which somebody listens, and a file of another kind, are left alone") {
  const Folder folder;
  const std::string path = folder / "http.sock", file = folder / "file";
  Fixture f;
  Reactor first(behind_proxy(false), f.service, f.time, f.log, f.metrics);
  REQUIRE(first.listen({"", 0, path}));
  Reactor second(behind_proxy(false), f.service, f.time, f.log, f.metrics);
  const auto taken = second.listen({"", 0, path});
  REQUIRE_FALSE(taken);
  CHECK(taken.error().kind == FaultKind::address_in_use);
  CHECK(taken.error().text.find("unix:" + path) != std::string::npos);
  const int fd = connect_to(path);
  REQUIRE(fd >= 0);
  CHECK(asked(fd, get("/echo")).find("GET /echo") != std::string::npos);
  std::ofstream(file) << "precious";
  CHECK_FALSE(second.listen({"", 0, file}));
  CHECK(std::filesystem::file_size(file) == 8);
}

TEST_CASE("listener: what is no socket keeps its place, beside it and in it, and is named") {
  const Folder folder;
  const auto refusal = [](const std::string& path) {
    const auto opened = Listener::open({"", 0, path}, TimePoint{});
    return opened ? std::string() : opened.error().text;
  };
  const std::string file = folder / "file", link = folder / "link", pipe = folder / "pipe", inner = folder / "inner";
  const std::string stale = folder / "stale.sock", to_stale = folder / "to_stale";
  std::ofstream(file) << "precious";
  std::filesystem::create_symlink(file, link);
  std::filesystem::create_directory(inner);
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  REQUIRE(Listener::open({"", 0, stale}, TimePoint{}));  // closed at once, its file stays
  std::filesystem::create_symlink(stale, to_stale);
  CHECK(refusal(file) == "cannot listen on unix:" + file + ": " + file + " is a file, which is left alone");
  CHECK(refusal(link).find(link + " is a link") != std::string::npos);
  CHECK(refusal(to_stale).find(to_stale + " is a link") != std::string::npos);
  CHECK(refusal(pipe).find(pipe + " is a pipe") != std::string::npos);
  CHECK(refusal(inner).find(inner + " is a folder") != std::string::npos);
  for (const std::string& other : {file, link, pipe, inner}) {  // in the place of the lock
    const std::string path = folder / "a.sock";
    std::filesystem::remove_all(path + ".lock");
    std::filesystem::rename(other, path + ".lock");
    const std::string why = refusal(path);
    if (other == file) {
      CHECK(why.empty());  // a plain file is a lock, and keeps what it holds
      CHECK(std::filesystem::file_size(path + ".lock") == 8);
      std::filesystem::copy_file(path + ".lock", file);
    } else {
      CHECK(why.find(path + ".lock is a ") != std::string::npos);
    }
  }
  CHECK(refusal(stale).empty());
}

TEST_CASE("listener: its group is the folder's where that is set-group-id") {
  const Folder folder;
  const std::string inner = folder / "inner", path = inner + "/http.sock";
  std::filesystem::create_directory(inner);
  constexpr gid_t kBalancers = 54321;
  const bool may_give = ::chown(inner.c_str(), static_cast<uid_t>(-1), kBalancers) == 0;
  REQUIRE(::chmod(inner.c_str(), 02750) == 0);
  REQUIRE(Listener::open({"", 0, path}, TimePoint{}));
  struct stat found{};
  REQUIRE(::stat(path.c_str(), &found) == 0);
  CHECK(found.st_gid == (may_give ? kBalancers : ::getegid()));
  CHECK((found.st_mode & 07777) == 0660);
}

TEST_CASE("listener: at the end its file goes, but not what another has put there") {
  const Folder folder;
  const std::string path = folder / "a.sock";
  {
    auto opened = Listener::open({"", 0, path}, TimePoint{});
    REQUIRE(opened);
    opened->close_and_remove();
    CHECK_FALSE(std::filesystem::exists(std::filesystem::symlink_status(path)));
  }
  {
    auto opened = Listener::open({"", 0, path}, TimePoint{});
    REQUIRE(opened);
    std::filesystem::remove(path);
    std::ofstream(path) << "precious";
    opened->close_and_remove();
    CHECK(std::filesystem::file_size(path) == 8);
    std::filesystem::remove(path);
  }
  {
    auto opened = Listener::open({"", 0, path}, TimePoint{});
    REQUIRE(opened);
    std::filesystem::remove(path);
    const auto successor = Listener::open({"", 0, path}, TimePoint{});
    REQUIRE(successor);
    opened->close_and_remove();
    const int fd = connect_to(path);
    CHECK(fd >= 0);
    ::close(fd);
  }
}

TEST_CASE("reactor: a client on a unix socket that says no more is still answered, and the way out closes it") {
  const Folder folder;
  const std::string path = folder / "http.sock";
  Fixture f;
  Reactor reactor(behind_proxy(false), f.service, f.time, f.log, f.metrics);
  REQUIRE(reactor.listen({"", 0, path}));
  const int fd = connect_to(path);
  CHECK(asked(fd, get("/a") + get("/b")).find("GET /b") != std::string::npos);
  const int waiting = connect_to(path);  // stands in the queue, or is accepted
  reactor.close_port();
  REQUIRE(soon([&] { return reactor.port_closed(); }));
  CHECK(connect_to(path) == -1);
  CHECK(asked(waiting, get("/late")).find("GET /late") != std::string::npos);
}

TEST_CASE("reactor: the PROXY header tells who the client is, for all its requests") {
  Behind b(behind_proxy(true));
  for (const std::string& header :
       {std::string(kProxy),
        std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb", 28)}) {
    Client client(b.reactor.port());
    REQUIRE(client.send(header + get("/peer") + get("/peer")));
    CHECK(client.receive()->body == "192.0.2.1");
    CHECK(client.receive()->body == "192.0.2.1");
    REQUIRE(client.send(get("/peer")));
    CHECK(client.receive()->body == "192.0.2.1");
  }
  Client unknown(b.reactor.port());
  REQUIRE(unknown.send("PROXY UNKNOWN\r\n" + get("/peer")));
  CHECK(unknown.receive()->body == "127.0.0.1");
}

TEST_CASE("reactor: the PROXY header may come byte by byte, and its request later") {
  Behind b(behind_proxy(true));
  Client client(b.reactor.port());
  for (const char c : std::string(kProxy))
    REQUIRE(client.send({&c, 1}));
  REQUIRE(client.send(get("/peer")));
  CHECK(client.receive()->body == "192.0.2.1");
  CHECK(soon([&] { return is_quiet(b.reactor.counts()); }));
}

TEST_CASE("reactor: a connection without a sound PROXY header is closed without a word") {
  Behind b(behind_proxy(true));
  for (const std::string& header :
       {std::string(), std::string("PROXY TCP9 x\r\n"), std::string("\r\n\r\nX"), std::string(200, 'P')}) {
    Client client(b.reactor.port());
    REQUIRE(client.send(header + get("/peer")));
    CHECK_FALSE(client.receive());
  }
  CHECK(b.f.rejected("proxy-protocol") == 4);
  Client slow(b.reactor.port());
  REQUIRE(slow.send("PROXY TCP4 "));
  CHECK(slow.ends());  // at the header's deadline
  CHECK(b.reactor.counts().requests == 0);
  CHECK(soon([&] { return b.reactor.counts().open == 0 && is_quiet(b.reactor.counts()); }));
}

TEST_CASE("reactor: a PROXY header after the first is a malformed request, and so is one that is not expected") {
  Behind b(behind_proxy(true));
  Client twice(b.reactor.port());
  REQUIRE(twice.send(std::string(kProxy) + kProxy + get("/peer")));
  CHECK(twice.receive()->status == 400);
  Client unasked(b.f.reactor.port());
  REQUIRE(unasked.send(kProxy + get("/peer")));
  CHECK(unasked.receive()->status == 400);
  CHECK(b.reactor.counts().requests == 0);
}

TEST_CASE("reactor: a trusted proxy is believed, nobody else") {
  const std::string request = get("/peer", "X-Forwarded-For: 6.6.6.6, 203.0.113.5\r\n");
  Behind trusting(behind_proxy(false, {"127.0.0.0/8"}));
  Client client(trusting.reactor.port());
  REQUIRE(client.send(request + get("/peer") + get("/peer", "X-Forwarded-For: unknown\r\n")));
  CHECK(client.receive()->body == "203.0.113.5");
  CHECK(client.receive()->body == "127.0.0.1");
  CHECK(client.receive()->body == "127.0.0.1");
  Behind other(behind_proxy(false, {"10.0.0.0/8"}));
  Client stranger(other.reactor.port());
  REQUIRE(stranger.send(request));
  CHECK(stranger.receive()->body == "127.0.0.1");
  Behind both(behind_proxy(true, {"192.0.2.0/24"}));  // what counts is whom the PROXY header names
  Client through(both.reactor.port());
  REQUIRE(through.send(kProxy + request));
  CHECK(through.receive()->body == "203.0.113.5");
}
