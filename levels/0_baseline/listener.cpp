#include "levels/0_baseline/listener.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace ratchet::http {
namespace {

constexpr int kNoHandshakes = 255;

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_un local;
};

Fault fault_of(int error, const std::string& what, TimePoint now) {
  Fault fault;
  fault.kind = error == EADDRINUSE              ? FaultKind::address_in_use
               : is_out_of_files(error)         ? FaultKind::out_of_files
               : error == EACCES || error == EPERM ? FaultKind::authorisation
                                                : FaultKind::unknown;
  fault.text = what + ": " + std::generic_category().message(error);
  fault.since = now;
  return fault;
}

// A hop limit in both families: a v6 socket may carry v4 connections too.
void set_least_hops(int fd, int family, int hops) noexcept {
  if (family == AF_INET || family == AF_INET6) setsockopt(fd, IPPROTO_IP, IP_MINTTL, &hops, sizeof hops);
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &hops, sizeof hops);
}

std::size_t peer_text(const SocketAddress& address, char* text, std::size_t room) noexcept {
  const char* written = nullptr;
  const auto size = static_cast<socklen_t>(room);
  if (address.any.sa_family == AF_INET) {
    written = inet_ntop(AF_INET, &address.v4.sin_addr, text, size);
  } else if (address.any.sa_family == AF_INET6) {
    const in6_addr& v6 = address.v6.sin6_addr;
    written = IN6_IS_ADDR_V4MAPPED(&v6) ? inet_ntop(AF_INET, &v6.s6_addr[12], text, size) : inet_ntop(AF_INET6, &v6, text, size);
  }
  return written == nullptr ? 0 : std::strlen(written);
}

}  // namespace

bool is_out_of_files(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

Listener::Listener(Listener&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      family_(other.family_),
      port_(other.port_),
      handshakes_stopped_(other.handshakes_stopped_) {}

Listener& Listener::operator=(Listener&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(family_, other.family_);
  std::swap(port_, other.port_);
  std::swap(handshakes_stopped_, other.handshakes_stopped_);
  return *this;
}

Result<Listener> Listener::open(const ListenAddress& address, TimePoint now) {
  const std::string what = "cannot listen on " + to_string(address);
  SocketAddress bound{};
  socklen_t size = 0;
  if (inet_pton(AF_INET, address.host.c_str(), &bound.v4.sin_addr) == 1) {
    bound.v4.sin_family = AF_INET;
    bound.v4.sin_port = htons(address.port);
    size = sizeof bound.v4;
  } else if (inet_pton(AF_INET6, address.host.c_str(), &bound.v6.sin6_addr) == 1) {
    bound.v6.sin6_family = AF_INET6;
    bound.v6.sin6_port = htons(address.port);
    size = sizeof bound.v6;
  } else {
    return fault_of(EINVAL, what, now);
  }
  Listener listener(::socket(bound.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int one = 1;
  if (!listener.is_open()) return fault_of(errno, what, now);
  if (setsockopt(listener.fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0) return fault_of(errno, what, now);
  if (::bind(listener.fd_, &bound.any, size) != 0) return fault_of(errno, what, now);
  if (::listen(listener.fd_, kBacklog) != 0) return fault_of(errno, what, now);
  listener.learn();
  return listener;
}

Result<Listener> Listener::adopt(int fd, TimePoint now) {
  Listener listener(fd);
  int listening = 0;
  socklen_t size = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) return fault_of(errno, "cannot adopt a socket", now);
  if (listening == 0) return fault_of(EINVAL, "cannot adopt a socket that does not listen", now);
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return fault_of(errno, "cannot adopt a socket", now);
  }
  listener.learn();
  set_least_hops(fd, listener.family_, 0);  // a predecessor may have been about to close it
  return listener;
}

void Listener::learn() noexcept {
  SocketAddress bound{};
  socklen_t size = sizeof bound;
  if (getsockname(fd_, &bound.any, &size) != 0) return;
  family_ = bound.any.sa_family;
  if (family_ == AF_INET) port_ = ntohs(bound.v4.sin_port);
  if (family_ == AF_INET6) port_ = ntohs(bound.v6.sin6_port);
  const int one = 1;  // inherited by what is accepted
  if (port_ != 0) setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

Listener::Accepted Listener::accept(char* peer, std::size_t peer_room) noexcept {
  SocketAddress from{};
  socklen_t size = sizeof from;
  Accepted accepted;
  accepted.fd = ::accept4(fd_, &from.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted.fd < 0) return accepted;
  if (handshakes_stopped_) set_least_hops(accepted.fd, family_, 0);
  accepted.peer_size = peer_text(from, peer, peer_room);
  return accepted;
}

void Listener::stop_handshakes() noexcept {
  handshakes_stopped_ = true;
  set_least_hops(fd_, family_, kNoHandshakes);
}

void Listener::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace ratchet::http
