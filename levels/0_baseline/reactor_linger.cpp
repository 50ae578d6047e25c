// How a connection ends after its last answer. Closing a socket that has unread bytes resets it, and a reset destroys
// the answer before the client has read it (behind a balancer: 502, and the instance is taken out for everybody). So:
// half close, then read and drop what still comes, however much that is, until the client hangs up or its time is
// over. While leaving, the time is short and the bytes are bounded, too: a drain must not wait for an upload.
#include <sys/socket.h>

#include <cerrno>

#include "levels/0_baseline/reactor_inside.hpp"

namespace ratchet::http {
namespace {

constexpr int kReadsPerTurn = 2;                       // before the others have their turn
constexpr std::size_t kMostWhileLeaving = 16'777'216;  // bytes

}  // namespace

// A client that said itself that nothing will follow needs none of this.
void Reactor::Inside::say_goodbye(Connection& c) {
  if (c.client_closes && !c.readable && c.in.empty()) return drop(c);
  c.state = State::lingering;
  ++lingering_;
  c.begun = false;
  set_busy(c, false);
  census_.leave(c.seat);
  leave_reserve(c);
  c.in.clear();
  c.chunked.reset();
  c.skip = 0;
  DeadlineList::stop(c.progress);
  (finishing_ ? linger_leaving_ : linger_).start(c.request, now_);
  linger_quiet_.start(c.wait, now_);
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
    if (finishing_ && c.discarded > kMostWhileLeaving) return drop(c);
    linger_quiet_.start(c.wait, now_);
  }
  want_resume(c);
}

// From now on there is less time, also for those who began to linger before.
void Reactor::Inside::hurry_lingering() {
  while (DeadlineHook* const hook = linger_.first()) {
    linger_leaving_.start(*hook, now_);
    table_.at(hook->owner).discarded = 0;
  }
}

// Lingering connections are in nobody's way: where they are what is too many, the ones that linger for the longest go.
void Reactor::Inside::make_room_for_one() {
  const std::size_t most = options_.limits.connections;
  if (table_.used() - lingering_ >= most && !table_.is_full()) return;
  while (table_.used() >= most && linger_.first() != nullptr) {
    drop(table_.at(linger_.first()->owner));
    if (table_.used() - lingering_ >= most) return;
  }
}

}  // namespace ratchet::http
