// How requests come in: reading, and finding where one ends.
#include <sys/socket.h>

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

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

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
    if (c.kept_out != nullptr && !admit(c)) return data.size();
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
  c.for_client = !header.own;
  c.hidden = !header.own && header.client.empty();
  if (!header.client.empty()) {
    known(c, header.client);
    count_anew(c);
  }
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
  if (c.kept_out == nullptr) head_wait_.start(c.wait, now_);
}

}  // namespace ratchet::http
