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

void Reactor::Inside::serve(Connection& c, std::string_view request) {
  c.need = c.looked = c.scan_at = 0;
  c.begun = false;
  c.head_only = head_.method == "HEAD";
  c.http_1_0 = head_.http_1_0;
  c.client_closes = c.close = !head_.keep_alive;
  c.close = c.close || c.kept_out != nullptr;
  c.state = State::serving;
  const Ticket ticket{c.index, ++c.exchange};
  const TimePoint deadline = c.request.list != nullptr ? c.request.due : now_ + options_.limits.request;
  add(counts_.requests, 1);
  served_ = true;
  AddressText client;
  if (c.believed) client = options_.trusted_proxies.client(head_);
  if (client.empty()) client = c.peer;  // a copy: the connection may go while its request is served
  const AddressText connection = c.peer;
  const Behalf behalf = c.hidden ? Behalf::hidden : c.for_client ? Behalf::client : Behalf::own;
  const Served how = service_.serve(self_, {head_, request.substr(head_.head_bytes), ticket, deadline, client.view(),
                                            connection.view(), behalf});
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
    c.out.append(reply_, sent, std::string::npos);
  }
  if (reply_.capacity() > kKeptReply) std::string().swap(reply_);
  if (c.out.empty()) answered(c);
}

void Reactor::Inside::flush(Connection& c) {
  while (c.sent < c.out.size()) {
    const ssize_t n = ::send(c.fd, c.out.data() + c.sent, c.out.size() - c.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && would_block(errno)) break;
    if (n < 0) return drop(c);
    c.sent += static_cast<std::size_t>(n);
  }
  if (c.sent < c.out.size()) {
    if (c.state == State::writing && c.sent - c.mark >= kWriteStep) {
      c.mark = c.sent;
      write_wait_.start(c.wait, now_);
    }
    return;
  }
  std::string().swap(c.out);
  c.sent = c.mark = 0;
  if (c.state == State::writing) answered(c);
}

// The kernel has the whole answer.
void Reactor::Inside::answered(Connection& c) {
  set_busy(c, false);
  if (c.close) return say_goodbye(c);
  c.state = State::reading;
  idle_wait_.start(c.wait, now_);
  census_.becomes_idle(c.seat);
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
    service_.was_cut(self_, {c.index, c.exchange}, c.in);
  }
  drop(c);
}

void Reactor::Inside::want_resume(Connection& c) {
  if (c.to_resume) return;
  c.to_resume = true;
  to_resume_.emplace_back(c.index, c.generation);
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
