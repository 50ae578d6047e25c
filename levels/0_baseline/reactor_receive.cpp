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

constexpr std::size_t kUnknown = ~std::size_t{0};
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

// Uses what is buffered, then what the socket has, until the connection is busy, empty or out of turn.
void Reactor::Inside::pump(Connection& c) {
  if (c.state == State::lingering) return discard(c);
  if (c.state != State::reading) return;
  if (c.given_up) return refuse(c, no_room());
  pumping_ = &c;
  turn_left_ = kRequestsPerTurn;
  if (!c.in.empty()) use(c, std::move(c.in));
  for (int reads = 0; reads < kReadsPerTurn && c.state == State::reading && c.readable && turn_left_ > 0; ++reads) {
    if (!receive(c)) break;
  }
  pumping_ = nullptr;
  mind_held(c);
  settle(c);
}

// One read and what it brings. False: nothing was there.
bool Reactor::Inside::receive(Connection& c) {
  // Of a body whose length is known no byte more: what follows waits in the kernel.
  const std::size_t most = c.need > 0 ? std::min(scratch_.size(), c.need - c.in.size()) : scratch_.size();
  const ssize_t got = ::recv(c.fd, scratch_.data(), most, MSG_DONTWAIT);
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
  if (size < most && !c.hung_up) c.readable = false;
  const std::string_view data(scratch_.data(), size);
  if (c.in.empty()) keep_rest(c, data.substr(consume(c, data)));
  else if (hold(c, c.in, data, c.need)) use(c, std::move(c.in));
  return true;
}

// `data` is out of the connection while it is used: an answer that fails gives the connection back, buffers and all.
void Reactor::Inside::use(Connection& c, HeldBytes data) {
  data.drop_front(consume(c, data.view()));
  if (is_reading(c)) c.in = std::move(data);
}

// Not a connection that was given back while its data was used: the next client to get its place would inherit them.
bool Reactor::Inside::is_reading(const Connection& c) noexcept {
  return c.state != State::free && c.state != State::lingering;
}

void Reactor::Inside::keep_rest(Connection& c, std::string_view rest) {
  if (!rest.empty() && is_reading(c)) hold(c, c.in, rest, c.need);
}

// Serves what is complete in `data`; returns how much of it is used up.
std::size_t Reactor::Inside::consume(Connection& c, std::string_view data) {
  std::size_t used = 0;
  Refusal refusal;
  if (c.awaits_proxy) used = consume_proxy(c, data);
  if (c.awaits_proxy) return used;
  while (c.state == State::reading && used < data.size() && turn_left_ > 0) {
    const std::string_view rest = data.substr(used);
    if (c.skip > 0) {
      used += skip_body(c, rest.size());
      continue;
    }
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
      used += begin_chunks(c, rest);
      continue;
    }
    const std::size_t total = head_.head_bytes + head_.body_bytes;
    if (rest.size() < total) {
      if (!is_wanted(c, total - rest.size())) return data.size();
      c.need = total;
      begin_body(c, rest.size() == head_.head_bytes);
      break;
    }
    used += total;
    --turn_left_;
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

// What is still to come of a body that was not wanted.
std::size_t Reactor::Inside::skip_body(Connection& c, std::size_t there) {
  const std::size_t skipped = std::min(c.skip, there);
  c.skip -= skipped;
  if (c.skip == 0) idle_wait_.start(c.wait, now_);
  return skipped;
}

// A chunked request whose head is whole: what came along with it is read at once. Returns how much of `rest` was used.
std::size_t Reactor::Inside::begin_chunks(Connection& c, std::string_view rest) {
  const std::string_view head = rest.substr(0, head_.head_bytes);
  c.chunked = std::make_unique<ChunkedRequest>(options_.limits.body_bytes, head.size(), budget_);
  if (!hold(c, c.chunked->request, head, c.chunked->most)) return rest.size();
  const std::size_t used = head.size() + consume_chunks(c, rest.substr(head.size()));
  if (c.chunked == nullptr) return used;
  if (is_wanted(c, kUnknown)) begin_body(c, rest.size() == head.size());
  else c.chunked.reset();
  return used;
}

// Of a request whose head is read: what `rest` has of its body; serves it when that is whole. Returns how much was used.
std::size_t Reactor::Inside::consume_chunks(Connection& c, std::string_view rest) {
  std::size_t used = 0;
  Refusal refusal;
  decoded_.clear();
  const Scan found = c.chunked->reader.read(rest, used, decoded_, refusal);
  if (found == Scan::refused) {
    c.chunked.reset();  // also where its refusal does not go out at once: no body is awaited any more
    refuse(c, refusal);
    return rest.size();
  }
  if (!hold(c, c.chunked->request, decoded_, c.chunked->most)) return rest.size();
  if (found == Scan::incomplete) return used;
  const std::unique_ptr<ChunkedRequest> whole = std::move(c.chunked);  // its views outlive the answer, and the connection
  [[maybe_unused]] const Scan again = scan(whole->request.view(), options_.limits, head_, refusal);
  assert(again == Scan::complete);
  if (refusing_) {
    refuse_flatly(c);
    return rest.size();
  }
  --turn_left_;
  serve(c, whole->request.view());
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
  if (sent < 0 && !would_block(errno)) return drop(c);
  // Goes out before the answer. So small a piece is always to be had, or the connection goes.
  if (done < kContinue.size()) hold(c, c.out, kContinue.substr(done), 0);
}

// After a pump: which deadline is running, and is there more to do?
void Reactor::Inside::settle(Connection& c) {
  if (c.state != State::reading) return;
  if (turn_left_ == 0 || c.readable) return want_resume(c);
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
