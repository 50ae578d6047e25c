// What the reactor does with one connection: read, serve, answer, hang up.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "levels/0_baseline/proxy_protocol.hpp"
#include "levels/0_baseline/reactor_inside.hpp"

namespace ratchet::http {
namespace {

// What one connection may do before the others have their turn.
constexpr int kRequestsPerTurn = 64;
constexpr int kReadsPerTurn = 16;

constexpr std::size_t kWriteStep = 65'536;          // a slow reader must take so much per write deadline
constexpr std::size_t kMostDiscarded = 16'777'216;  // sent by a client that we no longer listen to
constexpr std::size_t kKeptReply = 262'144;         // a reply buffer larger than this is not kept
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

constexpr bool would_block(int error) noexcept { return error == EAGAIN; }

}  // namespace

void Reactor::Inside::ready(Connection& c, std::uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return drop(c);  // reset, or both sides have said their last word
  if ((events & EPOLLRDHUP) != 0) c.hung_up = true;
  if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) c.readable = true;
  const std::uint32_t generation = c.generation;
  if ((events & EPOLLOUT) != 0 && !c.out.empty()) flush(c);
  if (c.generation == generation && c.readable) pump(c);
}

// ---- reading -------------------------------------------------------------------------------------------------------

// Uses what is buffered, then what the socket has, until the connection is busy, empty or out of turn.
void Reactor::Inside::pump(Connection& c) {
  if (c.state == State::lingering) return discard(c);
  if (c.state != State::reading) return;
  pumping_ = &c;
  budget_ = kRequestsPerTurn;
  if (!c.in.empty()) use(c, std::exchange(c.in, {}));
  for (int reads = 0; reads < kReadsPerTurn && c.state == State::reading && c.readable && budget_ > 0; ++reads) {
    if (!receive(c)) break;
  }
  pumping_ = nullptr;
  settle(c);
}

// One read and what it brings. False: nothing was there.
bool Reactor::Inside::receive(Connection& c) {
  const ssize_t got = ::recv(c.fd, scratch_.data(), scratch_.size(), MSG_DONTWAIT);
  if (got < 0 && errno == EINTR) return true;
  if (got < 0 && would_block(errno)) {
    c.readable = false;
    return false;
  }
  if (got <= 0) {  // the end, or an error: whatever was complete has been answered
    drop(c);
    return false;
  }
  const auto size = static_cast<std::size_t>(got);
  // A short read has emptied the socket; only an end that was announced is still to be read.
  if (size < scratch_.size() && !c.hung_up) c.readable = false;
  if (c.in.empty()) {
    const std::string_view data(scratch_.data(), size);
    keep_rest(c, data.substr(consume(c, data)));
    return true;
  }
  std::string data = std::exchange(c.in, {});
  data.append(scratch_.data(), size);
  use(c, std::move(data));
  return true;
}

// `data` is out of the connection while it is used: an answer that fails gives the connection back, buffers and all.
void Reactor::Inside::use(Connection& c, std::string data) {
  const std::size_t used = consume(c, data);
  if (used > 0) keep_rest(c, std::string_view(data).substr(used));
  else if (is_reading(c)) c.in = std::move(data);
}

// Not a connection that was given back while its data was used: the next client to get its place would inherit them.
bool Reactor::Inside::is_reading(const Connection& c) noexcept {
  return c.state != State::free && c.state != State::lingering;
}

void Reactor::Inside::keep_rest(Connection& c, std::string_view rest) {
  if (!rest.empty() && is_reading(c)) c.in.assign(rest);
}

// Serves what is complete in `data`; returns how much of it is used up.
std::size_t Reactor::Inside::consume(Connection& c, std::string_view data) {
  std::size_t used = 0;
  Refusal refusal;
  if (c.awaits_proxy) used = consume_proxy(c, data);
  if (c.awaits_proxy) return used;
  while (c.state == State::reading && used < data.size() && budget_ > 0) {
    const std::string_view rest = data.substr(used);
    if (c.chunked != nullptr) {
      used += consume_chunks(c, rest);
      continue;
    }
    if (!worth_scanning(c, rest)) break;
    const Scan found = scan(rest, options_.limits, head_, refusal);
    if (found == Scan::incomplete) {
      const HttpLimits& limits = options_.limits;
      const bool has_line = rest.find('\n') != std::string_view::npos;
      c.looked = rest.size();
      c.scan_at = limits.request_line_bytes + 4 + (has_line ? limits.header_bytes + 4 : 0);
      break;
    }
    if (found == Scan::refused) {
      refuse(c, refusal);
      return data.size();
    }
    if (refusing_) {
      refuse_flatly(c);
      return data.size();
    }
    if (head_.chunked) {
      c.chunked = std::make_unique<ChunkedRequest>(options_.limits.body_bytes);
      c.chunked->request.assign(rest, 0, head_.head_bytes);
      used += head_.head_bytes;
      used += consume_chunks(c, data.substr(used));
      if (c.chunked != nullptr && !c.begun) begin_body(c, rest.size() == head_.head_bytes);
      continue;
    }
    const std::size_t total = head_.head_bytes + head_.body_bytes;
    if (rest.size() < total) {
      c.need = total;
      begin_body(c, rest.size() == head_.head_bytes);
      break;
    }
    used += total;
    --budget_;
    serve(c, rest.substr(0, total));
  }
  return used;
}

// Asking the scanner for every byte that trickles in would be quadratic: it can only say something new when there
// is another line, or when a limit is passed.
bool Reactor::Inside::worth_scanning(const Connection& c, std::string_view rest) const noexcept {
  if (c.need > 0) return rest.size() >= c.need;
  if (c.looked == 0 || rest.size() >= c.scan_at) return true;
  return rest.size() > c.looked && std::memchr(rest.data() + c.looked, '\n', rest.size() - c.looked) != nullptr;
}

// The header that the balancer sends first. Who sends another, or none, gets no answer: it may not even speak HTTP.
std::size_t Reactor::Inside::consume_proxy(Connection& c, std::string_view data) {
  ProxyHeader header;
  const Scan found = scan_proxy(data, header);
  if (found == Scan::incomplete) return 0;
  if (found == Scan::refused) {
    count_rejected("proxy-protocol");
    drop(c);
    return data.size();
  }
  c.awaits_proxy = c.begun = false;
  set_busy(c, false);
  if (!header.client.empty()) known(c, header.client);
  return header.bytes;
}

void Reactor::Inside::known(Connection& c, const AddressText& peer) {
  c.peer = peer;
  c.believed = options_.trusted_proxies.trusts(peer.view());
}

// Of a request whose head is read: what `rest` has of its body; serves it when that is whole. Returns how much was used.
std::size_t Reactor::Inside::consume_chunks(Connection& c, std::string_view rest) {
  std::size_t used = 0;
  Refusal refusal;
  const Scan found = c.chunked->reader.read(rest, used, c.chunked->request, refusal);
  if (found == Scan::incomplete) return used;
  if (found == Scan::refused) {
    c.chunked.reset();  // also where its refusal does not go out at once: no body is awaited any more
    refuse(c, refusal);
    return rest.size();
  }
  const std::unique_ptr<ChunkedRequest> whole = std::move(c.chunked);  // its views outlive the answer, and the connection
  [[maybe_unused]] const Scan again = scan(whole->request, options_.limits, head_, refusal);
  assert(again == Scan::complete);
  if (refusing_) {
    refuse_flatly(c);
    return rest.size();
  }
  --budget_;
  serve(c, whole->request);
  return used;
}

// The head is accepted, the body is not whole yet.
void Reactor::Inside::begin_body(Connection& c, bool nothing_yet) {
  c.begun = true;
  set_busy(c, true);
  DeadlineList::stop(c.wait);
  request_wait_.start(c.request, now_);
  if (body_wait_.length() < request_wait_.length()) body_wait_.start(c.wait, now_);
  if (!head_.expect_continue || !nothing_yet) return;
  const ssize_t sent = ::send(c.fd, kContinue.data(), kContinue.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  const std::size_t done = sent < 0 ? 0 : static_cast<std::size_t>(sent);
  if (sent < 0 && !would_block(errno)) drop(c);
  else c.out.assign(kContinue.substr(done));  // goes out before the answer
}

// After a pump: which deadline is running, and is there more to do?
void Reactor::Inside::settle(Connection& c) {
  if (c.state != State::reading) return;
  if (budget_ == 0 || c.readable) return want_resume(c);
  if (c.in.empty() && c.chunked == nullptr) {
    if (finishing_) say_goodbye(c);
    return;
  }
  if (c.begun) return;
  c.begun = true;
  set_busy(c, true);
  head_wait_.start(c.wait, now_);
}

// ---- serving -------------------------------------------------------------------------------------------------------

void Reactor::Inside::serve(Connection& c, std::string_view request) {
  c.need = c.looked = c.scan_at = 0;
  c.begun = false;
  c.head_only = head_.method == "HEAD";
  c.http_1_0 = head_.http_1_0;
  c.client_closes = c.close = !head_.keep_alive;
  c.state = State::serving;
  const Ticket ticket{c.index, ++c.exchange};
  const TimePoint deadline = c.request.list != nullptr ? c.request.due : now_ + options_.limits.request;
  add(counts_.requests, 1);
  served_ = true;
  AddressText client;
  if (c.believed) client = options_.trusted_proxies.client(head_);
  if (client.empty()) client = c.peer;  // a copy: the connection may go while its request is served
  const Served how = service_.serve(self_, {head_, request.substr(head_.head_bytes), ticket, deadline, client.view()});
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
  const std::string_view retry = refusal.status == 503 ? "Retry-After: 1\r\n" : "";
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
    c.sent = c.mark = 0;
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
  if (&c != pumping_ && (c.readable || !c.in.empty())) want_resume(c);
}

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

// ---- bookkeeping ---------------------------------------------------------------------------------------------------

void Reactor::Inside::drop(Connection& c) {
  set_busy(c, false);
  set_deferred(c, false);
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
