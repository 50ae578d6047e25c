// How a connection ends after its last answer.
#include <sys/socket.h>

#include <cerrno>

#include "levels/0_baseline/reactor_inside.hpp"

namespace ratchet::http {
namespace {

constexpr int kReadsPerTurn = 16;                   // before the others have their turn
constexpr std::size_t kMostDiscarded = 16'777'216;  // sent by a client that we no longer listen to

}  // namespace

// Closing a socket that has unread bytes resets it, and a reset may destroy the answer before the client has read
// it. So: half close, read until the client hangs up, within bounds. A client that said itself that nothing will
// follow needs none of this.
void Reactor::Inside::say_goodbye(Connection& c) {
  if (c.client_closes && !c.readable && c.in.empty()) return drop(c);
  c.state = State::lingering;
  c.begun = false;
  set_busy(c, false);
  std::string().swap(c.in);
  c.chunked.reset();
  DeadlineList::stop(c.request);
  linger_wait_.start(c.wait, now_);
  if (::shutdown(c.fd, SHUT_WR) != 0) return drop(c);
  if (c.readable) want_resume(c);  // not now: the service may still look at the request that is being answered
}

void Reactor::Inside::discard(Connection& c) {
  for (int reads = 0; reads < kReadsPerTurn; ++reads) {
    const ssize_t got = ::recv(c.fd, scratch_.data(), scratch_.size(), MSG_DONTWAIT | MSG_TRUNC);  // TCP: not even copied
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && would_block(errno)) {
      c.readable = false;
      return;
    }
    if (got <= 0) return drop(c);
    c.discarded += static_cast<std::size_t>(got);
    if (c.discarded > kMostDiscarded) return drop(c);
  }
  want_resume(c);
}

}  // namespace ratchet::http
