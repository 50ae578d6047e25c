// An open-loop generator: posts events at a fixed rate, whether the answers come or not (pipelined where one is
// late), so that a slow service is seen as slow instead of slowing its own load. Each event carries the time at
// which it was due, in ns of CLOCK_MONOTONIC. usage: open_loop PORT RATE SECONDS CONNECTIONS
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
  int fd;
  std::string to_send;
  std::string tail;  // the end of what was read: a status line may come in two pieces
};

int connect_to(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

std::string request(long number, Clock::time_point due) {
  std::string body = "{\"customer\":\"c-" + std::to_string(number % 997) +
                     "\",\"due\":" + std::to_string(due.time_since_epoch().count()) + ",\"note\":\"";
  body += std::string(198 - body.size(), 'x') + "\"}";
  return "POST /events/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n" +
         body;
}

// How many answers of 202 the bytes end. Counts only what begins in this read or straddles into it.
long answers(Connection& c, const char* bytes, std::size_t size) {
  static constexpr char kStatus[] = "HTTP/1.1 202";
  constexpr std::size_t kLength = sizeof kStatus - 1;
  std::string text = c.tail + std::string(bytes, size);
  long found = 0;
  for (std::size_t at = text.find(kStatus); at != std::string::npos; at = text.find(kStatus, at + kLength))
    ++found;
  c.tail = text.substr(text.size() - std::min(text.size(), kLength - 1));
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 64;
  const double rate = std::atof(argv[2]), seconds = std::atof(argv[3]);
  std::vector<Connection> connections(static_cast<std::size_t>(std::atoi(argv[4])));
  std::vector<pollfd> polls;
  for (auto& c : connections) {
    c.fd = connect_to(std::atoi(argv[1]));
    polls.push_back({c.fd, POLLIN, 0});
  }
  const auto start = Clock::now();
  const long all = static_cast<long>(rate * seconds);
  long sent = 0, answered = 0;
  std::vector<char> buffer(65536);
  while (answered < all && Clock::now() < start + std::chrono::duration<double>(seconds + 20)) {
    for (; sent < all; ++sent) {
      const auto due = start + std::chrono::duration_cast<Clock::duration>(
                                   std::chrono::duration<double>(static_cast<double>(sent) / rate));
      if (due > Clock::now()) break;
      connections[static_cast<std::size_t>(sent) % connections.size()].to_send += request(sent, due);
    }
    for (auto& c : connections) {
      if (c.to_send.empty()) continue;
      const ssize_t n = send(c.fd, c.to_send.data(), c.to_send.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) c.to_send.erase(0, static_cast<std::size_t>(n));
    }
    poll(polls.data(), polls.size(), 1);
    for (std::size_t i = 0; i < polls.size(); ++i) {
      if (polls[i].revents == 0) continue;
      const ssize_t n = recv(connections[i].fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n == 0) return std::fprintf(stderr, "the service closed a connection\n"), 1;
      if (n > 0) answered += answers(connections[i], buffer.data(), static_cast<std::size_t>(n));
    }
  }
  std::printf("%ld %ld\n", sent, answered);
}
