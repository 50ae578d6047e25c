// A listening socket: opened or adopted, accepted from, and closed without losing a handshake.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "config/settings.hpp"
#include "levels/0_baseline/address_text.hpp"
#include "levels/core/result.hpp"

namespace ratchet::http {

class Listener {
 public:
  static constexpr int kBacklog = 4096;

  // SO_REUSEADDR only: two daemons must never share a port in silence. Faults are of level 0.
  //
  // A unix socket gets mode 0660. A socket file that is there already is replaced when nobody listens on it; anything
  // else in its place (a file, a folder, a link, a pipe) is left alone and named. PATH.lock beside it is held for that
  // moment; it must be a plain file, and is never written. The socket's file stays when the listener is closed: who
  // connects is refused, as with a closed port, and a successor that was handed the socket still finds its clients.
  static Result<Listener> open(const ListenAddress& address, TimePoint now);
  // A socket that listens already (systemd's). It is ours from now on, also if it is refused.
  static Result<Listener> adopt(int fd, TimePoint now);

  // Does `fd` listen, and on this address? Port 0: on any port of that host.
  static bool listens_on(int fd, const ListenAddress& address) noexcept;

  Listener() = default;
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&& other) noexcept;
  ~Listener() { close(); }

  int fd() const noexcept { return fd_; }
  bool is_open() const noexcept { return fd_ >= 0; }
  std::uint16_t port() const noexcept { return port_; }  // 0: not TCP

  // Non-blocking, close-on-exec, TCP_NODELAY. -1: errno says why.
  struct Accepted {
    int fd = -1;
    AddressText peer;  // empty: through a unix socket
  };
  Accepted accept() noexcept;

  // New handshakes are no longer begun, those under way are finished: their connections can still be accepted.
  //
  // Closing a listening socket resets whoever stands in its queue or is half way through the handshake. So before
  // closing, the socket is told to take only packets with a hop count of 255, which nobody's has: the client's first
  // packet (SYN) is dropped and will be refused when repeated after the close, while the last packet of a handshake
  // that had begun still counts. Accepted sockets inherit the rule; accept() lifts it from them. Where the socket
  // does not know the option (unix) nothing changes, and closing is a plain sweep of the queue.
  void stop_handshakes() noexcept;
  // Closes a unix socket that open() made, and removes its file by the same rule: if it is a socket on which nobody
  // listens now. Whatever else has been put there, or who listens there now, keeps the place.
  void close_and_remove() noexcept;
  void close() noexcept;  // never shutdown(2): others may hold the same socket
  int release() noexcept { return std::exchange(fd_, -1); }  // the caller's from now on

 private:
  explicit Listener(int fd) noexcept : fd_(fd) {}
  static Result<Listener> open_local(const ListenAddress& address, TimePoint now);
  void learn() noexcept;  // family, port

  int fd_ = -1;
  int family_ = 0;
  std::uint16_t port_ = 0;
  bool handshakes_stopped_ = false;
  std::string path_;  // of a unix socket that open() made
};

// The other end of a connected socket, an empty text for a unix one; nothing: it is not connected any more.
std::optional<AddressText> peer_of(int fd) noexcept;

// Running out of files or memory: accepting must pause, everything else goes on.
bool is_out_of_files(int error) noexcept;

}  // namespace ratchet::http
