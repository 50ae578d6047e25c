// The reactor over real sockets on the loopback.
#include "levels/0_baseline/reactor.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "levels/0_baseline/deadline_list.hpp"
#include "levels/0_baseline/listener.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/manual_time.hpp"
#include "tests/support/real_time.hpp"

using namespace ratchet;
using namespace ratchet::http;
using namespace std::chrono_literals;

namespace {

template <class F>
bool soon(F&& condition, std::chrono::seconds patience = 20s) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

// Answers with what it was asked; keeps the tickets of /defer.
class EchoService final : public Service {
 public:
  Served serve(Reactor& reactor, const Request& request) override {
    served = true;
    const std::string_view path = request.head.path;
    if (path == "/defer") {
      const std::lock_guard lock(mutex_);
      tickets_.push_back(request.ticket);
      came_.notify_all();
      return Served::deferred;
    }
    if (path == "/peer") {
      must_be(reactor.answer(request.ticket, {200, "text/plain", request.peer, "", false}));
      return Served::answered;
    }
    if (path == "/big") {
      const std::string body(std::stoul(std::string(request.head.query)), 'b');
      must_be(reactor.answer(request.ticket, {200, "text/plain", body, "", false}));
      return Served::answered;
    }
    const std::string asked = std::string(request.head.method) + " " + std::string(path) + " " + std::string(request.body);
    Answer answer;
    answer.content_type = "text/plain";
    answer.body = asked;
    answer.extra_headers = "X-Extra: 1\r\n";
    answer.close = path == "/close";
    if (path == "/none") answer = {204, "", "", "", false};
    reactor.answer(request.ticket, answer);
    // The request's views outlive its answer.
    if (asked != std::string(request.head.method) + " " + std::string(path) + " " + std::string(request.body)) spoilt = true;
    return Served::answered;
  }
  void expired(Reactor& reactor, Ticket ticket) override {
    ++expirations;
    reactor.answer(ticket, {503, "text/plain", "expired", "", false});
  }
  void turn_ended(Reactor&) override {
    if (served.exchange(false)) ++turns;
  }
  std::string refusal_body(const Refusal& refusal) override { return std::string(refusal.reason); }

  Ticket ticket(std::size_t number) {
    std::unique_lock lock(mutex_);
    if (!came_.wait_for(lock, 20s, [&] { return tickets_.size() > number; })) throw std::runtime_error("no such request came");
    return tickets_[number];
  }
  std::size_t tickets() {
    const std::lock_guard lock(mutex_);
    return tickets_.size();
  }

  std::atomic<bool> served{false};
  std::atomic<bool> spoilt{false};
  std::atomic<int> turns{0};
  std::atomic<int> expirations{0};

 private:
  void must_be(bool answered) { spoilt = spoilt || !answered; }
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<Ticket> tickets_;
};

struct Fixture {
  explicit Fixture(HttpLimits limits = {}, std::string host = "127.0.0.1") : reactor({"test", limits, 0}, service, time, log, metrics) {
    auto result = reactor.listen({std::move(host), 0});
    if (!result) throw std::runtime_error(result.error().text);
  }
  // Runs on the reactor's thread and waits for it.
  template <class F>
  auto inside(F work) {
    auto task = std::make_shared<std::packaged_task<decltype(work(reactor))(Reactor&)>>(std::move(work));
    auto result = task->get_future();
    if (!reactor.post([task](Reactor& r) { (*task)(r); })) throw std::runtime_error("not taken");
    return result.get();
  }
  bool answer(Ticket ticket, std::string body) {
    return inside([ticket, body](Reactor& r) { return r.answer(ticket, {202, "text/plain", body, "", false}); });
  }
  double rejected(const std::string& reason) { return metrics.rejected(reason).value(); }

  tests::RealTime time;
  Metrics metrics;
  Log log{LogSettings{}, time, null_fd()};
  EchoService service;
  Reactor reactor;

 private:
  static int null_fd() {
    static const int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    return fd;
  }
};

struct Response {
  int status = 0;
  std::string head, body;
  bool has(std::string_view text) const { return head.find(text) != std::string::npos; }
};

class Client {
 public:
  explicit Client(std::uint16_t port, int receive_buffer = 0, bool connect_now = true) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), port_(port) {
    const timeval patience{20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (receive_buffer > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (connect_now) connected_ = connect();
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(fd_); }

  bool connect() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // NOLINTNEXTLINE: the socket API wants it
    return connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  bool connected() const { return connected_; }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void reset() {
    const linger hard{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    ::close(fd_);
    fd_ = -1;
  }
  // Empty at the end of the connection (or after 20 s of silence: `silent`).
  std::optional<Response> receive(bool to_head = false) {
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return std::nullopt;
    }
    Response r;
    r.head = buffer_.substr(0, end + 4);
    r.status = std::stoi(r.head.substr(9, 3));
    std::size_t length = 0;
    if (const auto at = r.head.find("Content-Length: "); at != std::string::npos && !to_head) length = std::stoul(r.head.substr(at + 16));
    while (buffer_.size() < end + 4 + length) {
      if (!more()) return std::nullopt;
    }
    r.body = buffer_.substr(end + 4, length);
    buffer_.erase(0, end + 4 + length);
    return r;
  }
  // True when the server closes without another byte.
  bool ends() { return buffer_.empty() && !more() && ended_; }
  bool is_silent_for(std::chrono::milliseconds wait) {
    pollfd p{fd_, POLLIN, 0};
    return buffer_.empty() && ::poll(&p, 1, static_cast<int>(wait.count())) == 0;
  }

 private:
  bool more() {
    char bytes[16384];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n == 0) ended_ = true;
    if (n <= 0) return false;
    buffer_.append(bytes, static_cast<std::size_t>(n));
    return true;
  }
  int fd_;
  std::uint16_t port_;
  bool connected_ = false;
  bool ended_ = false;
  std::string buffer_;
};

std::string get(std::string_view path, std::string_view headers = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n";
}
std::string post(std::string_view path, std::string_view body, std::string_view headers = "") {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(headers) + "\r\n" + std::string(body);
}

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

bool is_quiet(const ReactorCounts& counts) { return counts.busy == 0 && counts.deferred == 0; }

}  // namespace

TEST_CASE("deadline list: deadlines end in the order in which they started, and not before") {
  tests::ManualTime time;
  DeadlineList list(100ms);
  DeadlineHook hooks[4];
  for (std::uint32_t i = 0; i < 4; ++i) hooks[i].owner = i;
  CHECK(list.next() == TimePoint::max());
  for (auto& hook : hooks) {
    list.start(hook, time.now());
    time.advance(10ms);
  }
  CHECK(list.expired(time.now()) == nullptr);
  CHECK(list.next() - time.now() == 60ms);
  time.advance(60ms - 1ns);
  CHECK(list.expired(time.now()) == nullptr);
  time.advance(1ns);
  REQUIRE(list.expired(time.now()) == &hooks[0]);
  CHECK(hooks[0].list == nullptr);
  CHECK(list.expired(time.now()) == nullptr);

  DeadlineList::stop(hooks[2]);
  list.start(hooks[1], time.now());  // again: now it is the last
  time.advance(1h);
  CHECK(list.expired(time.now()) == &hooks[3]);
  CHECK(list.expired(time.now()) == &hooks[1]);
  CHECK(list.expired(time.now()) == nullptr);
  CHECK(list.next() == TimePoint::max());
}

TEST_CASE("deadline list: starting on another list ends the deadline on the first") {
  tests::ManualTime time;
  DeadlineList longer(2s), shorter(1s);
  DeadlineHook hook, other;
  longer.start(hook, time.now());
  longer.start(other, time.now());
  shorter.start(hook, time.now());
  time.advance(3s);
  CHECK(longer.expired(time.now()) == &other);
  CHECK(longer.expired(time.now()) == nullptr);
  CHECK(shorter.expired(time.now()) == &hook);
  DeadlineList::stop(hook);  // harmless
}

TEST_CASE("reactor: a connection is kept and its requests are answered one by one") {
  Fixture f;
  Client client(f.reactor.port());
  for (int i = 0; i < 3; ++i) {
    REQUIRE(client.send(post("/echo?x", "hello")));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->body == "POST /echo hello");
    CHECK(r->has("HTTP/1.1 200 OK\r\n"));
    CHECK(r->has("\r\nX-Extra: 1\r\n"));
    CHECK(r->has("\r\nDate: "));
    CHECK(r->has(" GMT\r\n"));
    CHECK_FALSE(r->has("Connection:"));
  }
  CHECK(f.reactor.counts().accepted == 1);
  CHECK(f.reactor.counts().requests == 3);
  CHECK(soon([&] { return f.service.turns == 3; }));
  CHECK(is_quiet(f.reactor.counts()));
  CHECK_FALSE(f.service.spoilt);
}

TEST_CASE("reactor: pipelined requests are answered in order, also behind one that waits") {
  Fixture f;
  Client client(f.reactor.port());
  std::string all = post("/defer", "first");
  for (int i = 0; i < 200; ++i) all += post("/echo", std::to_string(i));
  all += get("/last", "Connection: close\r\n");
  REQUIRE(client.send(all));
  const Ticket first = f.service.ticket(0);
  CHECK(client.is_silent_for(100ms));
  CHECK(f.reactor.counts().deferred == 1);
  CHECK(f.answer(first, "done"));
  auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 202);
  CHECK(r->body == "done");
  for (int i = 0; i < 200; ++i) {
    r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "POST /echo " + std::to_string(i));
  }
  r = client.receive();
  REQUIRE(r);
  CHECK(r->has("Connection: close"));
  CHECK(client.ends());
}

TEST_CASE("reactor: a request may come byte by byte") {
  Fixture f;
  Client client(f.reactor.port());
  for (char c : post("/echo", "0123456789") + post("/echo", "abc")) REQUIRE(client.send({&c, 1}));
  auto r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "POST /echo 0123456789");
  r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "POST /echo abc");
}

TEST_CASE("reactor: a body larger than one read arrives whole") {
  Fixture f;
  Client client(f.reactor.port());
  std::string body;
  for (int i = 0; body.size() < 1024 * 1024; ++i) body += std::to_string(i);
  body.resize(1024 * 1024);
  REQUIRE(client.send(post("/echo", body) + get("/after")));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "POST /echo " + body);
  const auto next = client.receive();
  REQUIRE(next);
  CHECK(next->body == "GET /after ");
}

TEST_CASE("reactor: a client that says no more after its requests is still answered") {
  Fixture f;
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(get("/a") + get("/b")));
    client.half_close();
    auto r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "GET /a ");
    r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "GET /b ");
    CHECK(client.ends());
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(get("/defer") + get("/c")));
    client.half_close();
    CHECK(f.answer(f.service.ticket(0), "late"));
    auto r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "late");
    r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "GET /c ");
    CHECK(client.ends());
  }
  CHECK(soon([&] { return f.reactor.counts().open == 0; }));
}

TEST_CASE("reactor: many deferred requests are answered from another thread") {
  Fixture f;
  constexpr std::size_t kClients = 50;
  constexpr std::size_t kRounds = 20;
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < kClients; ++i) clients.push_back(std::make_unique<Client>(f.reactor.port()));
  std::thread committer([&] {
    for (std::size_t i = 0; i < kClients * kRounds; ++i) f.answer(f.service.ticket(i), "stored");
  });
  std::size_t good = 0;
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (auto& c : clients) c->send(post("/defer", "x"));
    for (auto& c : clients) {
      const auto r = c->receive();
      if (r && r->status == 202 && r->body == "stored") ++good;
    }
  }
  committer.join();
  CHECK(good == kClients * kRounds);
  CHECK(is_quiet(f.reactor.counts()));
  CHECK(f.reactor.counts().open == kClients);
}

TEST_CASE("reactor: what a client that left had sent is not taken for the next client's") {
  Fixture f;
  for (std::size_t round = 0; round < 20; ++round) {
    {  // a request that waits, the head of the next one, and gone
      Client gone(f.reactor.port());
      REQUIRE(gone.send("GET /defer HTTP/1.1\r\nHost: a\r\n\r\n"
                "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 60\r\n\r\n"));
      f.service.ticket(round);
    }
    f.answer(f.service.ticket(round), "too late");
    Client next(f.reactor.port());
    REQUIRE(next.send(get("/mine")));
    const auto r = next.receive();
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->body == "GET /mine ");
  }
}

TEST_CASE("reactor: an answer for a connection that is gone reaches nobody else") {
  Fixture f;
  std::optional<Client> first(std::in_place, f.reactor.port());
  REQUIRE(first->send(get("/defer")));
  const Ticket old = f.service.ticket(0);
  first->reset();
  REQUIRE(soon([&] { return f.reactor.counts().open == 0; }));
  CHECK(is_quiet(f.reactor.counts()));
  Client second(f.reactor.port());
  REQUIRE(second.send(get("/defer")));
  const Ticket present = f.service.ticket(1);
  CHECK(old.connection == present.connection);  // the same slot
  CHECK_FALSE(f.answer(old, "wrong"));
  CHECK(second.is_silent_for(50ms));
  CHECK(f.answer(present, "right"));
  CHECK_FALSE(f.answer(present, "twice"));
  const auto r = second.receive();
  REQUIRE(r);
  CHECK(r->body == "right");
  CHECK(second.is_silent_for(50ms));
}

TEST_CASE("reactor: a request at its deadline is the service's to answer, and its late outcome reaches no later request") {
  HttpLimits limits;
  limits.request = 100ms;
  Fixture f(limits);
  Client client(f.reactor.port());
  REQUIRE(client.send(get("/defer")));
  auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 503);
  CHECK(r->body == "expired");
  const Ticket expired = f.service.ticket(0);
  REQUIRE(client.send(get("/defer")));  // on the same connection
  const Ticket present = f.service.ticket(1);
  CHECK_FALSE(f.answer(expired, "of the first"));
  r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "expired");
  CHECK_FALSE(f.answer(present, "of the second"));
  CHECK(f.service.expirations == 2);
}

TEST_CASE("reactor: what breaks a limit is refused, counted and the connection closed") {
  HttpLimits limits;
  limits.body_bytes = 1000;
  Fixture f(limits);
  struct Row {
    std::string request;
    int status;
    const char* reason;
  };
  for (const Row& row : std::vector<Row>{{"GET /" + std::string(9000, 'a'), 414, "request-line-too-long"},
                                         {get("/", "X: " + std::string(17000, 'a') + "\r\n"), 431, "header-too-large"},
                                         {post("/", std::string(1001, 'a')), 413, "body-too-large"},
                                         {get("/", "Transfer-Encoding: chunked\r\n"), 411, "length-required"},
                                         {get("/", "Content-Encoding: br\r\n"), 415, "content-encoding"},
                                         {"GET / HTTP/2.0\r\n\r\n", 505, "http-version"},
                                         {"nonsense\r\n\r\n", 400, "malformed"}}) {
    INFO(row.reason);
    Client client(f.reactor.port());
    REQUIRE(client.send(get("/before") + row.request));
    auto r = client.receive();
    REQUIRE(r);
    CHECK(r->body == "GET /before ");
    r = client.receive();
    REQUIRE(r);
    CHECK(r->status == row.status);
    CHECK(r->body == row.reason);
    CHECK(r->has("Content-Type: application/problem+json\r\n"));
    CHECK(r->has("Connection: close\r\n"));
    CHECK(client.ends());
    CHECK(f.rejected(row.reason) == 1);
  }
}

TEST_CASE("reactor: a body over the limit is refused without being read, and its sender still gets the answer") {
  HttpLimits limits;
  limits.body_bytes = 1000;
  Fixture f(limits);
  for (int i = 0; i < 50; ++i) {
    Client client(f.reactor.port());
    CHECK(client.send(post("/", std::string(1024 * 1024, 'a'))));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 413);
    CHECK(client.ends());
  }
  CHECK(f.reactor.counts().requests == 0);
}

TEST_CASE("reactor: an endless header line costs no memory") {
  Fixture f;
  const std::size_t before = resident_bytes();
  Client client(f.reactor.port());
  const std::string block(1024 * 1024, 'a');
  CHECK(client.send("GET / HTTP/1.1\r\nX: "));
  std::size_t sent = 0;
  while (sent < 64 && client.send(block)) ++sent;
  // However much of it was sent: the refusal came at the limit.
  CHECK(soon([&] { return f.rejected("header-too-large") == 1; }));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(resident_bytes() < before + 8 * 1024 * 1024);
#else
  static_cast<void>(before);
#endif
  CHECK(soon([&] { return f.reactor.counts().open == 0; }));
}

TEST_CASE("reactor: who begins a request must end it in time") {
  HttpLimits limits;
  limits.header_wait = 150ms;
  limits.body_wait = 150ms;
  limits.idle = 60s;
  Fixture f(limits);
  {
    Client client(f.reactor.port());
    REQUIRE(client.send("GET / HT"));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 408);
    CHECK(r->has("Connection: close"));
    CHECK(client.ends());
    CHECK(f.rejected("slow-header") == 1);
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(get("/echo")));
    REQUIRE(client.receive());
    REQUIRE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 408);
    CHECK(client.ends());
    CHECK(f.rejected("slow-body") == 1);
  }
  {
    Client silent(f.reactor.port());
    CHECK(silent.ends());  // no 408: nothing had begun
  }
}

TEST_CASE("reactor: a trickle of bytes does not put off the deadline") {
  HttpLimits limits;
  limits.header_wait = 200ms;
  Fixture f(limits);
  Client client(f.reactor.port());
  bool refused = false;
  for (int i = 0; i < 2000 && !refused; ++i) {
    if (!client.send("X")) break;
    refused = !client.is_silent_for(10ms);
  }
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 408);
}

TEST_CASE("reactor: the request's deadline counts from the end of its headers, so it ends a slow body") {
  HttpLimits limits;
  limits.request = 150ms;  // shorter than body_wait
  Fixture f(limits);
  Client client(f.reactor.port());
  REQUIRE(client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 408);
}

TEST_CASE("reactor: an idle connection is closed without a word") {
  HttpLimits limits;
  limits.idle = 150ms;
  Fixture f(limits);
  Client client(f.reactor.port());
  REQUIRE(client.send(get("/a")));
  REQUIRE(client.receive());
  CHECK(client.ends());
  CHECK(f.reactor.counts().cut == 0);
}

TEST_CASE("reactor: more connections than the limit are told so, and let in when there is room") {
  HttpLimits limits;
  limits.connections = 2;
  Fixture f(limits);
  std::optional<Client> a(std::in_place, f.reactor.port());
  Client b(f.reactor.port());
  REQUIRE(a->send(get("/a")));
  REQUIRE(a->receive());
  REQUIRE(b.send(get("/b")));
  REQUIRE(b.receive());
  {
    Client c(f.reactor.port());
    CHECK(c.send(post("/c", std::string(100000, 'x'))));
    const auto r = c.receive();
    REQUIRE(r);
    CHECK(r->status == 503);
    CHECK(r->has("Retry-After: 1\r\n"));
    CHECK(r->has("Connection: close\r\n"));
    CHECK(r->body == "connections");
    CHECK(c.ends());
  }
  CHECK(f.rejected("connections") == 1);
  a.reset();
  REQUIRE(soon([&] { return f.reactor.counts().open == 1; }));
  Client d(f.reactor.port());
  REQUIRE(d.send(get("/d")));
  const auto r = d.receive();
  REQUIRE(r);
  CHECK(r->status == 200);
}

TEST_CASE("reactor: 100 Continue is said when the head is accepted, and only then") {
  HttpLimits limits;
  limits.body_bytes = 1000;
  Fixture f(limits);
  {
    Client client(f.reactor.port());
    REQUIRE(client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
    const auto go_on = client.receive();
    REQUIRE(go_on);
    CHECK(go_on->status == 100);
    REQUIRE(client.send("abc"));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 200);
    CHECK(r->body == "POST /echo abc");
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3000\r\n\r\n"));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 413);
  }
  {
    Client client(f.reactor.port());
    REQUIRE(client.send(post("/echo", "abc", "Expect: 100-continue\r\n")));  // the body came along
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->status == 200);
  }
}

TEST_CASE("reactor: the answer to HEAD has the length of a body, and no body") {
  Fixture f;
  Client client(f.reactor.port());
  REQUIRE(client.send("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n" + get("/g") + get("/none")));
  auto r = client.receive(true);
  REQUIRE(r);
  CHECK(r->has("Content-Length: 8\r\n"));
  r = client.receive();
  REQUIRE(r);
  CHECK(r->body == "GET /g ");
  r = client.receive();
  REQUIRE(r);
  CHECK(r->status == 204);
  CHECK_FALSE(r->has("Content-Length"));
}

TEST_CASE("reactor: HTTP/1.0 is closed unless it asks to be kept, and is told so") {
  Fixture f;
  {
    Client client(f.reactor.port());
    REQUIRE(client.send("GET /a HTTP/1.0\r\n\r\n"));
    const auto r = client.receive();
    REQUIRE(r);
    CHECK(r->has("Connection: close\r\n"));
    CHECK(client.ends());
  }
  {
    Client client(f.reactor.port());
    for (int i = 0; i < 2; ++i) {
      REQUIRE(client.send("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
      const auto r = client.receive();
      REQUIRE(r);
      CHECK(r->has("Connection: keep-alive\r\n"));
    }
  }
}

TEST_CASE("reactor: a big answer reaches a slow reader whole, and what it sends meanwhile waits") {
  Fixture f;
  Client client(f.reactor.port(), 8 * 1024);
  REQUIRE(client.send(get("/big?8388608") + get("/after")));
  REQUIRE(soon([&] { return f.reactor.counts().busy == 1; }));
  const auto r = client.receive();
  REQUIRE(r);
  CHECK(r->body == std::string(8388608, 'b'));
  const auto next = client.receive();
  REQUIRE(next);
  CHECK(next->body == "GET /after ");
  CHECK(soon([&] { return is_quiet(f.reactor.counts()); }));
}

TEST_CASE("reactor: who does not take its answer is cut off") {
  HttpLimits limits;
  limits.body_wait = 200ms;
  Fixture f(limits);
  Client client(f.reactor.port(), 8 * 1024);
  REQUIRE(client.send(get("/big?16777216")));
  REQUIRE(soon([&] { return f.reactor.counts().busy == 1; }));
  CHECK(soon([&] { return f.reactor.counts().open == 0; }));
  CHECK(f.reactor.counts().cut == 1);
  CHECK(is_quiet(f.reactor.counts()));
}

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
          if (client.send(get("/a", "Connection: close\r\n")) && client.receive()) ++answered;
          else ++lost;
        }
      });
    }
    REQUIRE(soon([&] { return answered > 500; }));
    f.reactor.close_port();
    for (auto& c : clients) c.join();
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
  for (auto& client : clients) CHECK(client->receive());
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

  char peer[46];
  const auto accepted = listener.accept(peer, sizeof peer);
  REQUIRE(accepted.fd >= 0);
  CHECK(std::string_view(peer, accepted.peer_size) == "127.0.0.1");
  CHECK(listener.accept(peer, sizeof peer).fd == -1);
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
  f.reactor.refuse_all("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndown");
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
  Reactor third({"third", {}, 0}, second.service, time, second.log, metrics);
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
  Reactor reactor({"adopted", {}, 0}, f.service, f.time, f.log, f.metrics);
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

TEST_CASE("reactor: running out of files stops nothing but accepting, for a moment") {
  Fixture f;
  Client early(f.reactor.port());
  REQUIRE(early.send(get("/a")));
  REQUIRE(early.receive());
  Client late(f.reactor.port(), 0, false);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(lowest_free);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const bool connected = late.connect() && late.send(get("/b"));
  const bool noticed = soon([&] { return f.rejected("out-of-files") >= 1; });
  const bool others_served = early.send(get("/c")) && early.receive();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(connected);
  CHECK(noticed);
  CHECK(others_served);
  const auto r = late.receive();
  REQUIRE(r);
  CHECK(r->status == 200);
}

TEST_CASE("reactor: its loop turns at least once a second though nothing happens") {
  Fixture f;
  const TimePoint before = f.time.now();
  CHECK(soon([&] { return f.reactor.turned() > before + 500ms; }));
}

TEST_CASE("reactor: idle connections cost little memory") {
  Fixture f;
  constexpr std::size_t kClients = 300;
  std::vector<std::unique_ptr<Client>> clients;
  const std::string body(100'000, 'x');
  for (std::size_t i = 0; i < 10; ++i) {  // what is allocated once
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
    REQUIRE(clients.back()->send(post("/none", body)));
    REQUIRE(clients.back()->receive());
  }
  const std::size_t before = resident_bytes();
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Client>(f.reactor.port()));
    REQUIRE(clients.back()->send(post("/none", body)));
    REQUIRE(clients.back()->receive());
  }
  REQUIRE(f.reactor.counts().open == kClients + 10);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK((resident_bytes() - std::min(before, resident_bytes())) / kClients <= 5000);  // 10,000 of them: 50 MB
#else
  static_cast<void>(before);
#endif
}

TEST_CASE("reactor: stopping closes what is open and runs what was posted") {
  std::atomic<int> ran{0};
  std::optional<Client> client;
  {
    Fixture f;
    client.emplace(f.reactor.port());
    REQUIRE(client->send(get("/defer")));
    f.service.ticket(0);
    for (int i = 0; i < 100; ++i) CHECK(f.reactor.post([&](Reactor&) { ++ran; }));
  }
  CHECK(ran == 100);
  CHECK_FALSE(client->receive());
}
