#include "levels/0_baseline/listener.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

// 0: not an address.
socklen_t socket_address(const ListenAddress& address, SocketAddress& bound) noexcept {
  if (inet_pton(AF_INET, address.host.c_str(), &bound.v4.sin_addr) == 1) {
    bound.v4.sin_family = AF_INET;
    bound.v4.sin_port = htons(address.port);
    return sizeof bound.v4;
  }
  if (inet_pton(AF_INET6, address.host.c_str(), &bound.v6.sin6_addr) == 1) {
    bound.v6.sin6_family = AF_INET6;
    bound.v6.sin6_port = htons(address.port);
    return sizeof bound.v6;
  }
  return 0;
}

// A hop limit in both families: a v6 socket may carry v4 connections too.
void set_least_hops(int fd, int family, int hops) noexcept {
  if (family == AF_INET || family == AF_INET6) setsockopt(fd, IPPROTO_IP, IP_MINTTL, &hops, sizeof hops);
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &hops, sizeof hops);
}

AddressText text_of(const SocketAddress& address) noexcept {
  AddressBytes bytes{};
  if (address.any.sa_family == AF_INET6) {
    std::memcpy(bytes.data(), &address.v6.sin6_addr, bytes.size());
  } else if (address.any.sa_family == AF_INET) {
    bytes[10] = bytes[11] = 0xff;
    std::memcpy(&bytes[12], &address.v4.sin_addr, 4);
  } else {
    return {};
  }
  return AddressText(bytes);
}

const char* kind_of(mode_t mode) noexcept {
  return S_ISREG(mode) ? "a file" : S_ISDIR(mode) ? "a folder" : S_ISLNK(mode) ? "a link" : S_ISFIFO(mode) ? "a pipe" : "a device";
}

Fault in_the_way(const std::string& what, const std::string& path, mode_t mode, TimePoint now) {
  Fault fault = fault_of(EADDRINUSE, what, now);
  fault.text = what + ": " + path + " is " + kind_of(mode) + ", which is left alone";
  return fault;
}

int open_lock(const std::string& path) noexcept {
  return ::open((path + ".lock").c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
}

// A socket file whose listener is gone is removed. 0: it was, or there is no file; else the errno that says why not.
int remove_stale(const SocketAddress& address) noexcept {
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return errno;
  const int error = ::connect(probe, &address.any, sizeof address.local) == 0 ? 0 : errno;
  ::close(probe);
  if (error == ECONNREFUSED) return ::unlink(address.local.sun_path) == 0 || errno == ENOENT ? 0 : errno;
  return error == 0 || error == EAGAIN ? EADDRINUSE : error;  // EAGAIN: its queue is full
}

}  // namespace

bool is_out_of_files(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

std::optional<AddressText> peer_of(int fd) noexcept {
  SocketAddress from{};
  socklen_t size = sizeof from;
  if (::getpeername(fd, &from.any, &size) != 0) return std::nullopt;
  return text_of(from);
}

Listener::Listener(Listener&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      family_(other.family_),
      port_(other.port_),
      handshakes_stopped_(other.handshakes_stopped_),
      path_(std::move(other.path_)) {}

Listener& Listener::operator=(Listener&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(family_, other.family_);
  std::swap(port_, other.port_);
  std::swap(handshakes_stopped_, other.handshakes_stopped_);
  std::swap(path_, other.path_);
  return *this;
}

// Two that start at once must not take each other's new socket for a stale one: a lock beside it, held for this moment.
Result<Listener> Listener::open_local(const ListenAddress& address, TimePoint now) {
  const std::string what = "cannot listen on " + to_string(address);
  SocketAddress bound{};
  bound.local.sun_family = AF_UNIX;
  if (address.path.size() >= sizeof bound.local.sun_path) return fault_of(ENAMETOOLONG, what, now);
  std::memcpy(bound.local.sun_path, address.path.data(), address.path.size());

  const std::string lock_path = address.path + ".lock";
  struct stat found{};
  const bool there = ::lstat(lock_path.c_str(), &found) == 0;
  if (there && !S_ISREG(found.st_mode)) return in_the_way(what, lock_path, found.st_mode, now);
  const Listener lock(open_lock(address.path));
  if (!lock.is_open()) return fault_of(errno, what + ": " + lock_path, now);
  if (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) return fault_of(errno == EWOULDBLOCK ? EADDRINUSE : errno, what, now);
  if (::lstat(bound.local.sun_path, &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) return in_the_way(what, address.path, found.st_mode, now);
    if (const int error = remove_stale(bound); error != 0) return fault_of(error, what, now);
  } else if (errno != ENOENT) {
    return fault_of(errno, what, now);
  }

  constexpr mode_t kMode = 0660;
  Listener listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener.is_open()) return fault_of(errno, what, now);
  // Of the socket before it is bound: so the file never has more rights than this, not even for a moment.
  if (::fchmod(listener.fd_, kMode) != 0) return fault_of(errno, what, now);
  if (::bind(listener.fd_, &bound.any, sizeof bound.local) != 0) return fault_of(errno, what, now);
  if (::chmod(bound.local.sun_path, kMode) != 0) return fault_of(errno, what, now);
  listener.path_ = address.path;
  if (::listen(listener.fd_, kBacklog) != 0) return fault_of(errno, what, now);
  listener.learn();
  return listener;
}

Result<Listener> Listener::open(const ListenAddress& address, TimePoint now) {
  if (address.is_local()) return open_local(address, now);
  const std::string what = "cannot listen on " + to_string(address);
  SocketAddress bound{};
  const socklen_t size = socket_address(address, bound);
  if (size == 0) return fault_of(EINVAL, what, now);
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

bool Listener::listens_on(int fd, const ListenAddress& address) noexcept {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0) return false;
  SocketAddress wanted{};
  SocketAddress found{};
  size = sizeof found;
  if (getsockname(fd, &found.any, &size) != 0) return false;
  if (address.is_local()) {  // without its file nobody finds it
    struct stat file{};
    return found.any.sa_family == AF_UNIX && address.path == found.local.sun_path &&
           ::lstat(found.local.sun_path, &file) == 0 && S_ISSOCK(file.st_mode);
  }
  if (socket_address(address, wanted) == 0) return false;
  if (found.any.sa_family != wanted.any.sa_family) return false;
  const bool v4 = found.any.sa_family == AF_INET;
  const bool same_host = v4 ? found.v4.sin_addr.s_addr == wanted.v4.sin_addr.s_addr
                            : IN6_ARE_ADDR_EQUAL(&found.v6.sin6_addr, &wanted.v6.sin6_addr);
  return same_host && (address.port == 0 || address.port == ntohs(v4 ? found.v4.sin_port : found.v6.sin6_port));
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

Listener::Accepted Listener::accept() noexcept {
  SocketAddress from{};
  socklen_t size = sizeof from;
  Accepted accepted;
  accepted.fd = ::accept4(fd_, &from.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted.fd < 0) return accepted;
  if (handshakes_stopped_) set_least_hops(accepted.fd, family_, 0);
  accepted.peer = text_of(from);
  return accepted;
}

void Listener::stop_handshakes() noexcept {
  handshakes_stopped_ = true;
  set_least_hops(fd_, family_, kNoHandshakes);
}

void Listener::close_and_remove() noexcept {
  close();
  SocketAddress bound{};
  bound.local.sun_family = AF_UNIX;
  if (path_.empty() || path_.size() >= sizeof bound.local.sun_path) return;
  std::memcpy(bound.local.sun_path, path_.data(), path_.size());
  const Listener lock(open_lock(path_));
  struct stat found{};
  if (!lock.is_open() || ::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) return;  // a successor is about to take the place
  if (::lstat(bound.local.sun_path, &found) == 0 && S_ISSOCK(found.st_mode)) static_cast<void>(remove_stale(bound));
}

void Listener::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace ratchet::http
