#include "levels/3_service/socket_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ratchet::service {

namespace {

struct Address {
  sockaddr_storage bytes{};
  socklen_t size = 0;  // 0: it is none
};

Address parse(const std::string& host, std::uint16_t port) {
  Address out;
  auto& v4 = reinterpret_cast<sockaddr_in&>(out.bytes);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out.bytes);
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    out.size = sizeof v4;
  } else if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    out.size = sizeof v6;
  }
  return out;
}

int socket_for(int family, std::string& why) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) why = std::strerror(errno);
  return fd;
}

int given_up(int fd, std::string& why) {
  why = std::strerror(errno);
  ::close(fd);
  return -1;
}

int connect_fd(const sockaddr* address, socklen_t size, std::string& why) {
  const int fd = socket_for(address->sa_family, why);
  if (fd < 0) return -1;
  if (::connect(fd, address, size) != 0 && errno != EINPROGRESS) return given_up(fd, why);
  return fd;
}

}  // namespace

int listen_on(const ListenAddress& address, std::string& why) {
  const Address to = parse(address.host, address.port);
  if (to.size == 0) {
    why = "not a numeric address";
    return -1;
  }
  const int fd = socket_for(to.bytes.ss_family, why);
  if (fd < 0) return -1;
  const int on = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(fd, reinterpret_cast<const sockaddr*>(&to.bytes), to.size) != 0 || ::listen(fd, 128) != 0)
    return given_up(fd, why);
  return fd;
}

int connect_to_path(const std::string& path, std::string& why) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (path.size() >= sizeof to.sun_path) {
    why = "its path is too long";
    return -1;
  }
  std::memcpy(to.sun_path, path.data(), path.size());
  return connect_fd(reinterpret_cast<const sockaddr*>(&to), sizeof to, why);
}

int connect_to(const std::string& numeric_host, std::uint16_t port, std::string& why) {
  const Address to = parse(numeric_host, port);
  if (to.size == 0) {
    why = "not a numeric address";
    return -1;
  }
  return connect_fd(reinterpret_cast<const sockaddr*>(&to.bytes), to.size, why);
}

}  // namespace ratchet::service
