// A plain HTTP client over one connection: sends what it is told, byte by byte, and reads one answer at a time.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace ratchet::tests {

struct RawAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // lower-case names
  std::string body;
  std::string header(const std::string& lower_case_name) const {
    const auto at = headers.find(lower_case_name);
    return at == headers.end() ? std::string() : at->second;
  }
};

class RawHttp {
 public:
  explicit RawHttp(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    const int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  ~RawHttp() { ::close(fd_); }
  RawHttp(const RawHttp&) = delete;
  RawHttp& operator=(const RawHttp&) = delete;

  bool connected() const noexcept { return connected_; }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  // One answer; empty: the connection ended first, or nothing came within 20 s. `no_body`: the answer to a HEAD.
  std::optional<RawAnswer> read(bool no_body = false) {
    std::size_t end = 0;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return std::nullopt;
    }
    RawAnswer answer = parse_head(std::string_view(input_).substr(0, end + 2));
    input_.erase(0, end + 4);
    const std::string length = answer.header("content-length");
    const std::size_t wanted = no_body || length.empty() ? 0 : static_cast<std::size_t>(std::stoul(length));
    while (input_.size() < wanted) {
      if (!more()) return std::nullopt;
    }
    answer.body = input_.substr(0, wanted);
    input_.erase(0, wanted);
    return answer;
  }

  std::optional<RawAnswer> get(const std::string& path, const std::string& headers = "") {
    if (!send("GET " + path + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n")) return std::nullopt;
    return read();
  }

  // All there is until the other side closes, within 20 s of silence.
  std::string rest() {
    while (more()) {
    }
    return std::exchange(input_, {});
  }

  // True: the other side closed, without a byte left over, within 20 s.
  bool ends() {
    while (input_.empty()) {
      if (!more()) return ended_;
    }
    return false;
  }

 private:
  static RawAnswer parse_head(std::string_view head) {
    RawAnswer answer;
    if (head.size() > 12) answer.status = std::atoi(std::string(head.substr(9, 3)).c_str());
    for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
      const std::size_t end = head.find("\r\n", at);
      const std::string_view line = head.substr(at, end - at);
      const std::size_t colon = line.find(':');
      std::string name(line.substr(0, colon));
      std::transform(name.begin(), name.end(), name.begin(),
                     [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
      answer.headers[name] = std::string(line.substr(std::min(line.size(), line.find_first_not_of(' ', colon + 1))));
      at = end + 2;
    }
    return answer;
  }

  bool more() {
    pollfd waiting{fd_, POLLIN, 0};
    if (ended_ || ::poll(&waiting, 1, 20'000) != 1) return false;
    char buffer[16384];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    ended_ = n <= 0;
    if (n > 0) input_.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }

  int fd_;
  bool connected_ = false;
  bool ended_ = false;
  std::string input_;
};

// Waits for a state, not for a time: looks every millisecond, gives up after 20 s.
inline bool comes_true(const std::function<bool()>& condition) {
  for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);;) {
    if (condition()) return true;
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace ratchet::tests
