// What the reactor does with one connection once it has a request: serve, answer, hang up.
#include <sys/socket.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>

#include "levels/0_baseline/reactor_inside.hpp"

namespace ratchet::http {
namespace {

constexpr std::size_t kWriteStep = 65'536;   // a slow reader must take so much per write deadline
constexpr std::size_t kKeptReply = 262'144;  // a reply buffer larger than this is not kept
constexpr std::size_t kMostSkipped = 65'536; // of a body that was not wanted, for keeping its connection

}  // namespace

void Reactor::Inside::ready(Connection& c, std::uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return drop(c);  // reset, or both sides have said their last word
  if ((events & EPOLLRDHUP) != 0) c.hung_up = true;
  if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) c.readable = true;
  const std::uint32_t generation = c.generation;
  if ((events & EPOLLOUT) != 0 && !c.out.empty()) flush(c);
  if (c.generation == generation && c.readable) pump(c);
}

// ---- serving -------------------------------------------------------------------------------------------------------

Ticket Reactor::Inside::begin_exchange(Connection& c) {
  c.need = c.looked = c.scan_at = c.stepped = 0;
  c.begun = false;
  c.head_only = head_.method == "HEAD";
  c.http_1_0 = head_.http_1_0;
  c.state = State::serving;
  DeadlineList::stop(c.progress);
  return {c.index, ++c.exchange};
}

AddressText Reactor::Inside::client_of(const Connection& c) const {
  AddressText client;
  if (c.believed) client = options_.trusted_proxies.client(head_);
  return client.empty() ? c.peer : client;  // a copy: the connection may go while its request is served
}

Behalf Reactor::Inside::behalf_of(const Connection& c) noexcept {
  return c.hidden ? Behalf::hidden : c.for_client ? Behalf::client : Behalf::own;
}

// Asks the service about a request whose head is there and of whose body so many bytes are missing. False: it was
// answered by its head alone. Then its connection is kept if the rest is small and comes without being asked for.
bool Reactor::Inside::is_wanted(Connection& c, std::size_t missing) {
  const Ticket ticket = begin_exchange(c);
  const bool kept =
      head_.keep_alive && !head_.expect_continue && missing <= kMostSkipped && c.kept_out == nullptr;
  c.skip = kept ? missing : 0;
  c.close = !kept;
  c.client_closes = false;
  const AddressText client = client_of(c);
  const AddressText connection = c.peer;
  const TimePoint deadline = now_ + options_.limits.request;
  if (service_.admit(self_, {head_, {}, ticket, deadline, client.view(), connection.view(), behalf_of(c)})) {
    assert(is_waiting(ticket));
    c.state = State::reading;
    c.skip = 0;
    return true;
  }
  assert(!is_waiting(ticket));
  add(counts_.requests, 1);
  return false;
}

void Reactor::Inside::serve(Connection& c, std::string_view request) {
  const Ticket ticket = begin_exchange(c);
  c.client_closes = !head_.keep_alive;
  c.close = c.client_closes || c.kept_out != nullptr;
  const TimePoint deadline = c.request.list != nullptr ? c.request.due : now_ + options_.limits.request;
  add(counts_.requests, 1);
  served_ = true;
  const AddressText client = client_of(c);
  const AddressText connection = c.peer;
  const Served how = service_.serve(self_, {head_, request.substr(head_.head_bytes), ticket, deadline, client.view(),
                                            connection.view(), behalf_of(c)});
  if (!is_waiting(ticket)) return;  // answered, or gone
  assert(how == Served::deferred);
  static_cast<void>(how);
  set_deferred(c, true);
  set_busy(c, true);
  DeadlineList::stop(c.wait);
  if (c.request.list == nullptr) request_wait_.start(c.request, now_);
}

bool Reactor::Inside::answer(Ticket ticket, const Answer& answer) {
  Connection* const c = table_.serving(ticket.connection, ticket.generation);
  if (c == nullptr) return false;
  c->close = c->close || answer.close || announced_;
  reply_.clear();
  writer_.write(reply_, answer, {c->head_only, c->close, c->http_1_0 && !c->close});
  set_deferred(*c, false);
  transmit(*c);
  return true;
}

void Reactor::Inside::abandon(Ticket ticket) {
  Connection* const c = table_.serving(ticket.connection, ticket.generation);
  if (c == nullptr) return;
  set_busy(*c, true);  // what is served in the turn it came in was not counted yet
  drop_unanswered(*c);
}

void Reactor::Inside::write_refusal(const Refusal& refusal) {
  const std::string body = service_.refusal_body(refusal);
  const std::string_view retry = refusal.status == 503 || refusal.status == 429 ? "Retry-After: 1\r\n" : "";
  writer_.write(reply_, {refusal.status, "application/problem+json", body, retry, true}, {false, true, false});
}

void Reactor::Inside::refuse(Connection& c, const Refusal& refusal) {
  count_rejected(refusal.reason);
  reply_.clear();
  write_refusal(refusal);
  c.close = true;
  c.client_closes = false;
  transmit(c);
}

// While falling: the same bytes for every request, and good-bye.
void Reactor::Inside::refuse_flatly(Connection& c) {
  count_rejected("level");
  reply_ = *refusing_;
  const std::size_t head = reply_.find("\r\n\r\n");
  if (head_.method == "HEAD" && head != std::string::npos) reply_.resize(head + 4);
  c.close = true;
  c.client_closes = false;
  transmit(c);
}

// ---- writing -------------------------------------------------------------------------------------------------------

// Sends reply_, the whole answer, in one piece if the socket takes it.
void Reactor::Inside::transmit(Connection& c) {
  DeadlineList::stop(c.request);
  std::size_t sent = 0;
  if (c.out.empty()) {
    const ssize_t n = ::send(c.fd, reply_.data(), reply_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && !would_block(errno) && errno != EINTR) return drop(c);
    sent = n < 0 ? 0 : static_cast<std::size_t>(n);
  }
  if (sent < reply_.size()) {
    c.mark = c.sent;  // not 0: a part of 100 Continue may be out, and the rest of it goes first
    c.state = State::writing;  // before memory is asked for: part of an answer is out, no other may follow it
    set_busy(c, true);
    write_wait_.start(c.wait, now_);
    if (!hold_answer(c, std::string_view(reply_).substr(sent))) return drop_unanswered(c);
  }
  if (reply_.capacity() > kKeptReply) std::string().swap(reply_);
  if (c.out.empty()) answered(c);
}

void Reactor::Inside::flush(Connection& c) {
  while (c.sent < c.out.size()) {
    const ssize_t n = ::send(c.fd, c.out.view().data() + c.sent, c.out.size() - c.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && would_block(errno)) break;
    if (n < 0) return drop(c);
    c.sent += static_cast<std::size_t>(n);
  }
  if (c.sent < c.out.size()) {
    if (c.state == State::writing && c.sent - c.mark >= kWriteStep) {
      c.mark = c.sent;
      write_wait_.start(c.wait, now_);
      progress_.start(c.progress, now_);
    }
    return;
  }
  c.out.clear();
  c.sent = c.mark = 0;
  if (c.state == State::writing) answered(c);
}

// The kernel has the whole answer.
void Reactor::Inside::answered(Connection& c) {
  set_busy(c, false);
  if (c.close) return say_goodbye(c);
  c.state = State::reading;
  census_.becomes_idle(c.seat);
  mind_held(c);
  (c.skip > 0 ? linger_quiet_ : idle_wait_).start(c.wait, now_);
  if (&c != pumping_ && (c.readable || !c.in.empty())) want_resume(c);
}

// ---- bookkeeping ---------------------------------------------------------------------------------------------------

void Reactor::Inside::drop(Connection& c) {
  if (c.state == State::lingering) --lingering_;
  set_busy(c, false);
  set_deferred(c, false);
  census_.leave(c.seat);
  leave_reserve(c);
  add(counts_.open, -1);
  ::close(c.fd);
  table_.give_back(c);
}

void Reactor::Inside::drop_unanswered(Connection& c) {
  if (c.counted_busy) {
    add(counts_.cut, 1);
    service_.was_cut(self_, {c.index, c.exchange}, c.in.view());
  }
  drop(c);
}

void Reactor::Inside::want_resume(Connection& c) {
  if (c.to_resume) return;
  to_resume_.emplace_back(c.index, c.generation);
  c.to_resume = true;
}

void Reactor::Inside::set_busy(Connection& c, bool busy) noexcept {
  if (c.counted_busy == busy) return;
  c.counted_busy = busy;
  if (busy) census_.becomes_active(c.seat);
  add(counts_.busy, busy ? 1 : -1);
}

void Reactor::Inside::set_deferred(Connection& c, bool deferred) noexcept {
  if (c.deferred == deferred) return;
  c.deferred = deferred;
  add(counts_.deferred, deferred ? 1 : -1);
}

void Reactor::Inside::count_rejected(std::string_view reason) {
  for (const auto& [known, counter] : rejected_) {
    if (known == reason) return counter.add();
  }
  rejected_.emplace_back(reason, metrics_.rejected(std::string(reason)));
  rejected_.back().second.add();
}

}  // namespace ratchet::http
