// Who is let in at the port, and who must go for it.
//
// A connection that finds the limit reached is not turned away unheard: it gets a place in the reserve, a few more than
// the limit, until its head is there. A health path is answered from there, whatever else happens; for a request an
// idle connection is given up, if there is one, and only then: quiet newcomers cost nobody his connection. Those that
// never sent a byte go first, the oldest of them; then the longest idle of the address that holds most; then heads that
// do not get ready. A request in progress is never given up for a newcomer.
#include <sys/socket.h>
#include <unistd.h>

#include "levels/0_baseline/reactor_inside.hpp"

namespace ratchet::http {
namespace {

constexpr std::chrono::milliseconds kHeadGrace{1000};  // one under way for longer is given up for one that is whole
constexpr Duration kTellAgain = std::chrono::seconds(10);
constexpr Refusal kTooManyConnections{503, "connections", "this instance has as many connections as it may have"};
constexpr Refusal kTooManyOfAddress{429, "connections-per-address",
                                    "this address has as many connections as one address may have"};

}  // namespace

void Reactor::Inside::welcome(const Listener::Accepted& accepted) {
  const int fd = accepted.fd;
  add(counts_.accepted, 1);
  make_room_for_one();
  Connection* c = nullptr;
  try {
    c = table_.take(fd);
    if (c == nullptr && free_slot()) c = table_.take(fd);
  } catch (const std::bad_alloc&) {
    ::close(fd);
    return pause_accepting(ENOMEM);
  }
  if (c == nullptr) return turn_away_at_once(fd);
  c->awaits_proxy = options_.proxy_protocol;
  known(*c, accepted.peer);
  add(counts_.open, 1);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;  // once for its whole life
  event.data.u64 = static_cast<std::uint64_t>(c->generation) << 32 | c->index;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    const int error = errno;
    drop(*c);
    return pause_accepting(error);
  }
  at_its_cost(*c, [&] { give_place(*c); });
}

void Reactor::Inside::give_place(Connection& c) {
  if (const Refusal* const why = shortage(c)) return to_reserve(c, *why);
  census_.enter(c.seat, c.peer.view());
  quiet_wait_.start(c.wait, now_);
}

// Why it cannot be one of the many; null: it can. A trusted proxy's connections and those through a unix socket carry
// many clients: no limit of one address is theirs. Nor is it the peer's whose PROXY header is still to come.
const Refusal* Reactor::Inside::shortage(const Connection& c) const {
  const std::size_t most = options_.limits.connections_per_address;
  const bool is_one_client = !c.believed && !c.awaits_proxy && !c.peer.empty();
  if (most > 0 && is_one_client && census_.held_by(c.peer.view()) >= most) return &kTooManyOfAddress;
  return census_.size() >= options_.limits.connections ? &kTooManyConnections : nullptr;
}

// The reserve is first in, first out: who came first has had his time. What he has sent meanwhile is looked at first.
void Reactor::Inside::to_reserve(Connection& c, const Refusal& why) {
  c.kept_out = &why;
  ++reserved_;
  reserve_wait_.start(c.wait, now_);
  if (reserved_ <= kReserve) return;
  Connection& oldest = table_.at(reserve_wait_.first()->owner);
  const std::uint32_t generation = oldest.generation;
  if (pumping_ == nullptr) {  // else the buffer is another's
    oldest.readable = true;
    pump(oldest);
  }
  if (oldest.generation == generation && oldest.state == State::reading && oldest.kept_out != nullptr)
    refuse(oldest, *oldest.kept_out);
}

void Reactor::Inside::leave_reserve(Connection& c) noexcept {
  if (c.kept_out == nullptr) return;
  c.kept_out = nullptr;
  --reserved_;
}

// The PROXY header has named another than the peer.
void Reactor::Inside::count_anew(Connection& c) {
  if (!c.seat.taken()) return;
  census_.leave(c.seat);
  if (const Refusal* const why = shortage(c)) to_reserve(c, *why);
  else census_.enter(c.seat, c.peer.view());
}

// A whole head has come from one of the reserve. False: it was refused.
bool Reactor::Inside::admit(Connection& c) {
  if (service_.is_health(head_)) return true;
  const Refusal* why = shortage(c);
  if (why == &kTooManyConnections && give_up_one()) why = nullptr;
  if (why != nullptr) {
    refuse(c, *why);
    return false;
  }
  leave_reserve(c);
  census_.enter(c.seat, c.peer.view());
  return true;
}

bool Reactor::Inside::give_up_one() {
  while (const DeadlineHook* const hook = quiet_wait_.first()) {
    if (given_up_if_quiet(table_.at(hook->owner), "silent")) return true;
  }
  while (const ConnectionCensus::Seat* const seat = census_.least_needed()) {
    if (given_up_if_quiet(table_.at(seat->owner), "idle")) return true;
  }
  const DeadlineHook* const hook = head_wait_.first();
  if (hook == nullptr || now_ - (hook->due - head_wait_.length()) < kHeadGrace) return false;
  tell_given_up("slow-header");
  Connection& slow = table_.at(hook->owner);
  census_.leave(slow.seat);
  refuse(slow, {408, "slow-header", "the header did not arrive in time, and others wait"});
  return true;
}

// What has arrived and is not read yet makes it one that is not quiet: it will be read in its turn.
bool Reactor::Inside::given_up_if_quiet(Connection& c, std::string_view why) {
  char byte = 0;
  const bool speaks = !c.in.empty() || ::recv(c.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  if (!speaks) {
    tell_given_up(why);
    drop(c);
    return true;
  }
  census_.becomes_active(c.seat);
  if (c.wait.list == &quiet_wait_) head_wait_.start(c.wait, now_);
  c.readable = true;
  want_resume(c);
  return false;
}

void Reactor::Inside::tell_given_up(std::string_view why) {
  metrics_
      .counter("ratchet_connections_given_up_total", "Connections closed for a newcomer, at the limit of connections",
               {{"port", options_.name}, {"was", std::string(why)}})
      .add();
  if (given_up_told_ && now_ - *given_up_told_ < kTellAgain) return;
  given_up_told_ = now_;
  log_.notice("at the limit of connections: idle ones are given up for those that ask",
              {{"port", options_.name}, {"limit", std::to_string(options_.limits.connections)}});
}

// All slots are taken: by those who have had their answer, or by the reserve.
bool Reactor::Inside::free_slot() {
  const DeadlineHook* hook = linger_.first();
  if (hook == nullptr) hook = reserve_wait_.first();
  if (hook == nullptr) return false;
  drop(table_.at(hook->owner));
  return true;
}

// No slot is left even for waiting until the client has read the answer: it may be lost.
void Reactor::Inside::turn_away_at_once(int fd) {
  count_rejected(kTooManyConnections.reason);
  reply_.clear();
  write_refusal(kTooManyConnections);
  [[maybe_unused]] const ssize_t sent = ::send(fd, reply_.data(), reply_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::close(fd);
}

}  // namespace ratchet::http
