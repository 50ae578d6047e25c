// What every test of the reactor uses: a service that echoes, a reactor over it, and a client with raw sockets.
#pragma once

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

#include "tests/support/catch.hpp"
#include "tests/support/manual_time.hpp"
#include "tests/support/real_time.hpp"

namespace ratchet::tests {

using namespace ratchet::http;
using namespace std::chrono_literals;

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
    const std::string asked =
        std::string(request.head.method) + " " + std::string(path) + " " + std::string(request.body);
    Answer answer;
    answer.content_type = "text/plain";
    answer.body = asked;
    answer.extra_headers = "X-Extra: 1\r\n";
    answer.close = path == "/close";
    if (path == "/none") answer = {204, "", "", "", false};
    reactor.answer(request.ticket, answer);
    // The request's views outlive its answer.
    if (asked != std::string(request.head.method) + " " + std::string(path) + " " + std::string(request.body))
      spoilt = true;
    return Served::answered;
  }
  // Wants no body of what begins with /no.
  bool admit(Reactor& reactor, const Request& request) override {
    if (request.head.path.substr(0, 3) != "/no" || request.head.path == "/none") return true;
    must_be(request.body.empty());
    must_be(reactor.answer(request.ticket, {404, "text/plain", "not wanted", "", false}));
    return false;
  }
  void expired(Reactor& reactor, Ticket ticket) override {
    ++expirations;
    reactor.answer(ticket, {503, "text/plain", "expired", "", false});
  }
  void turn_ended(Reactor&) override {
    if (served.exchange(false)) ++turns;
  }
  bool is_health(const Head& head) const override { return head.path == "/live"; }
  std::string refusal_body(const Refusal& refusal) override { return std::string(refusal.reason); }

  Ticket ticket(std::size_t number) {
    std::unique_lock lock(mutex_);
    if (!came_.wait_for(lock, 20s, [&] { return tickets_.size() > number; }))
      throw std::runtime_error("no such request came");
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
  explicit Fixture(HttpLimits limits = {}, std::string host = "127.0.0.1")
      : reactor({"test", limits}, service, time, log, metrics) {
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
  explicit Client(std::uint16_t port, int receive_buffer = 0, bool connect_now = true)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), port_(port) {
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
  // Before connecting: 127.0.0.`last` is where it comes from.
  bool come_from(unsigned last) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + last);
    // NOLINTNEXTLINE: the socket API wants it
    return ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 && connect();
  }
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
    if (const auto at = r.head.find("Content-Length: "); at != std::string::npos && !to_head)
      length = std::stoul(r.head.substr(at + 16));
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

inline std::string get(std::string_view path, std::string_view headers = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n";
}
inline std::string post(std::string_view path, std::string_view body, std::string_view headers = "") {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + std::string(headers) + "\r\n" + std::string(body);
}

// `chunks`: as they are sent, with the last one.
inline std::string post_chunked(std::string_view path, std::string_view chunks, std::string_view headers = "") {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + std::string(headers) +
         "\r\n" + std::string(chunks);
}

inline std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

inline bool is_quiet(const ReactorCounts& counts) { return counts.busy == 0 && counts.deferred == 0; }

}  // namespace ratchet::tests
