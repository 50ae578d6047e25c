// The reactor: one thread, one epoll, all sockets of one port. It accepts, reads whole requests under every limit,
// hands them to a Service, and writes answers, each in one piece. A request that waits for something (a commit)
// costs memory, not a thread: the service defers it and answers later by its Ticket, from any thread.
//
// Who may call what: the Service is called on the reactor thread only. Everything marked "any thread" may be
// called from outside. Closed connections are recognised by the ticket's generation, so a late answer cannot
// reach somebody else.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "config/settings.hpp"
#include "levels/0_baseline/client_address.hpp"
#include "levels/0_baseline/http_head.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/core/clock.hpp"
#include "levels/core/result.hpp"

namespace ratchet::http {

// One request on one connection. `generation` counts the requests of all connections in that slot, so a ticket that
// was answered, or whose connection is gone, fits no later request.
struct Ticket {
  std::uint32_t connection = 0;
  std::uint32_t generation = 0;
};

// For whom a connection was made, by its PROXY header.
enum class Behalf : std::uint8_t {
  own,     // for whoever made it: there is none, or it says so
  client,  // for the client that it names
  hidden,  // for a client that it does not name
};

struct Request {
  const Head& head;
  std::string_view body;
  Ticket ticket;
  TimePoint deadline;            // one per request, from the end of its headers; the body's arrival counts
  std::string_view peer;         // client's address, numeric; empty: through a unix socket
  std::string_view connection{}; // the same, without what a trusted proxy's headers say: the PROXY header's, the socket's
  Behalf behalf = Behalf::own;
};

struct Answer {
  int status = 200;
  std::string_view content_type = "application/json";
  std::string_view body;
  std::string_view extra_headers;  // whole lines, each ended by CRLF
  bool close = false;              // say Connection: close and close after it
};

enum class Served : std::uint8_t { answered, deferred };

class Reactor;

class Service {
 public:
  virtual ~Service() = default;

  // Either calls reactor.answer(request.ticket, ...) before returning `answered`, or keeps the ticket and
  // returns `deferred`. The request's views are valid during the call only. They lie in one piece: from
  // head.method to the body's end stands the request as it was sent (a chunked body: decoded). Must not throw.
  virtual Served serve(Reactor& reactor, const Request& request) = 0;

  // A request's head is there, its body is not (and was not asked for by 100 Continue). True: the body is to be read,
  // and serve() will be called with the whole. False: it was answered, by reactor.answer(request.ticket, ...), and
  // what comes of the body is thrown away. Must not throw.
  virtual bool admit(Reactor&, const Request& /*head*/) { return true; }

  // A deferred request has reached its deadline and was not answered: answer it now. (Its connection may also have
  // gone without a word: then nothing is called, and a later answer goes nowhere.)
  virtual void expired(Reactor& reactor, Ticket ticket) = 0;

  // A connection could not be accepted for want of files or memory (errno); accepting rests for 100 ms.
  virtual void accept_failed(Reactor&, int) {}

  // A request is cut: its connection is closed by us without an answer. `ticket`: fits if it had reached the service;
  // `begun`: what is there of the request as it was sent, maybe nothing.
  virtual void was_cut(Reactor&, Ticket, std::string_view /*begun*/) {}

  // The end of a turn of the loop in which serve() was called: wake whoever was given work, once.
  virtual void turn_ended(Reactor&) {}

  // Does the request ask for health? Those are answered also when there are too many connections for anything else.
  virtual bool is_health(const Head&) const { return false; }

  // A request was refused by the reactor itself (limits, malformed): writes its problem+json body.
  virtual std::string refusal_body(const Refusal& refusal) = 0;
};

struct ReactorCounts {  // read from any thread
  std::atomic<std::uint64_t> open{0};        // connections
  std::atomic<std::uint64_t> busy{0};        // with a request being served or being read
  std::atomic<std::uint64_t> deferred{0};
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> cut{0};         // closed with a request unanswered, by us
  std::atomic<std::uint64_t> held{0};        // bytes of unfinished requests and answers, by capacity
};

// At the limit of connections so many more have a place until their head is read, for the sake of health probes.
constexpr std::size_t kReserve = 32;
// Files that a reactor needs for that limit: with the reserve, and with those that read their last answer.
constexpr std::size_t most_connections(std::size_t limit) noexcept {
  return limit + kReserve + std::clamp<std::size_t>(limit / 4, 16, 256);
}

class Reactor {
 public:
  struct Options {
    std::string name;  // "service", "ops": thread name, labels
    HttpLimits limits;
    bool proxy_protocol = false;  // every connection begins with a PROXY header, or is closed
    TrustedProxies trusted_proxies{};
  };
  Reactor(Options options, Service& service, const TimeSource& time, Log& log, Metrics& metrics);
  ~Reactor();                      // stops and joins; whatever is open is closed

  // Binds and listens (listener.hpp: SO_REUSEADDR only, backlog 4096, TCP_NODELAY; or a unix socket). Any thread; errors as Fault with level 0.
  Result<Nothing> listen(const ListenAddress& address);
  Result<Nothing> adopt(int listening_fd);
  std::uint16_t port() const noexcept;

  // The way out, in the order of DESIGN 7. Each may be called from any thread and returns at once.
  void announce_close();           // from now on every answer says Connection: close
  void close_port();               // IP_MINTTL, sweep the accept queue until empty, close. No new handshake is lost.
  // For a successor who has the same socket: accepts whoever stands in the queue now, then only lets go of its own
  // descriptor. Who comes from then on waits in the socket's queue.
  void leave_port();
  bool port_closed() const noexcept;  // also before listen(); left is closed, too
  // Answers every request from now on with these bytes, as soon as its head is read, and closes (fall by fault).
  // What is with the service already is still answered by it.
  void refuse_all(std::string answer);
  void finish_idle();              // closes connections that are idle now, and others as soon as they are (lingering)
  void cut();                      // closes everything at once; unanswered requests are counted

  // On the reactor thread: answers a request. False if its connection is gone.
  bool answer(Ticket ticket, const Answer& answer);
  bool is_waiting(Ticket ticket) const noexcept;
  // The other end of its socket, whatever a PROXY header says; see peer_of. Reactor thread.
  std::optional<AddressText> socket_peer(Ticket ticket) const noexcept;
  // Closes its connection without an answer, counted as cut; nothing if it is gone, or was answered.
  void abandon(Ticket ticket);

  // Runs `task` on the reactor thread. Any thread. False when the reactor has stopped, or when 65,536 tasks wait
  // already (it is stuck): the task was not taken.
  bool post(std::function<void(Reactor&)> task);

  const ReactorCounts& counts() const noexcept;
  TimePoint turned() const noexcept;  // when its loop last turned (at least once a second), for the watchdog

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::http
