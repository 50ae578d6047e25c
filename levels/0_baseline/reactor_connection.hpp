// The reactor's connections: slots that are used again and again and never move. Two counters tell the users of a
// slot apart: `generation` the connections (for events that epoll reports late), `exchange` the requests (for
// answers that come late). Both only grow while the slot lives, so an answer that was meant for an earlier request
// finds nobody, on this connection or on a later one in the same slot.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "levels/0_baseline/address_text.hpp"
#include "levels/0_baseline/buffer_budget.hpp"
#include "levels/0_baseline/connection_census.hpp"
#include "levels/0_baseline/deadline_list.hpp"
#include "levels/0_baseline/http_chunked.hpp"
#include "levels/0_baseline/http_head.hpp"

namespace ratchet::http {

// A request whose body comes in chunks. `request`: its head as it was sent, followed by the body so far, decoded.
struct ChunkedRequest {
  ChunkedRequest(std::size_t most_body, std::size_t head, BufferBudget& budget) noexcept
      : reader(most_body), most(head + most_body), request(budget) {}
  ChunkedReader reader;
  const std::size_t most;  // of the request
  HeldBytes request;
};

struct Connection {
  explicit Connection(BufferBudget& budget) noexcept : in(budget), out(budget) {}

  enum class State : std::uint8_t {
    free,       // the slot has no connection
    reading,    // a request, or waiting for one
    serving,    // a request is with the service
    writing,    // the rest of an answer waits in `out` for the client to take it
    lingering,  // said its last word, waits for the client to hang up so that the word is not lost
  };

  int fd = -1;
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  // 31 bits
  std::uint32_t exchange = 0;
  State state = State::free;
  bool readable = false;         // the socket may have more (edge-triggered: nobody will say so again)
  bool hung_up = false;          // the client will send nothing after what is there
  bool begun = false;            // the first byte of a request is there, the request is not
  bool deferred = false;
  bool head_only = false;        // the request being served is a HEAD ...
  bool http_1_0 = false;         // ... of HTTP/1.0
  bool client_closes = false;    // the client said that this is its last request
  bool close = false;            // close after the present answer
  bool counted_busy = false;
  bool to_resume = false;
  bool awaits_proxy = false;     // its PROXY header is still to come
  bool believed = false;         // the peer is a trusted proxy
  bool for_client = false;       // its PROXY header says that it was made for somebody ...
  bool hidden = false;           // ... whom it does not name
  bool given_up = false;         // what it held was needed by others: to be refused at its next turn
  AddressText peer;
  const Refusal* kept_out = nullptr;  // why it is in the reserve: there it may ask for health only
  ConnectionCensus::Seat seat;        // taken by those that are in

  DeadlineHook wait;             // head, body, idle, write, linger: one of them
  DeadlineHook request;          // from the end of the headers to the answer; while lingering: until its end
  DeadlineHook progress;         // among those that hold bytes: since when it has brought, or taken, less than a step
  HeldBytes in;                  // what was read and is not used yet; empty while idle
  HeldBytes out;                 // what the socket did not take at once
  std::unique_ptr<ChunkedRequest> chunked;  // while one is being read; `in` then holds what it has not used yet
  std::size_t sent = 0;          // of out
  std::size_t mark = 0;          // of out: at which the write deadline was last started
  std::size_t stepped = 0;       // bytes of the request that had come when `progress` was last started
  std::size_t need = 0;          // size of the whole request, once its head is known
  std::size_t skip = 0;          // bytes of a refused body that are still to come, before the next request
  std::size_t looked = 0;        // at so many bytes the scanner last asked for more
  std::size_t scan_at = 0;       // from so many on a limit would be passed even without another line
  std::size_t discarded = 0;     // while lingering
};

class ConnectionTable {
 public:
  ConnectionTable(std::size_t most, BufferBudget& budget) : most_(most), budget_(budget) {}

  // A slot in state reading; null when all are taken.
  Connection* take(int fd) {
    Connection* c = nullptr;
    if (!unused_.empty()) {
      c = &slots_[unused_.back()];
      unused_.pop_back();
    } else if (slots_.size() < most_) {
      c = &slots_.emplace_back(budget_);
      const auto index = static_cast<std::uint32_t>(slots_.size() - 1);
      c->index = c->wait.owner = c->request.owner = c->progress.owner = c->seat.owner = index;
    } else {
      return nullptr;
    }
    c->fd = fd;
    c->state = Connection::State::reading;
    ++used_;
    return c;
  }

  // Its descriptor is closed already.
  void give_back(Connection& c) {
    DeadlineList::stop(c.wait);
    DeadlineList::stop(c.request);
    DeadlineList::stop(c.progress);
    c.fd = -1;
    c.state = Connection::State::free;
    c.generation = (c.generation + 1) & 0x7fffffffU;
    c.readable = c.hung_up = c.begun = c.deferred = c.head_only = c.http_1_0 = c.client_closes = c.close = c.to_resume = false;
    c.awaits_proxy = c.believed = c.for_client = c.hidden = c.given_up = false;
    c.peer = {};
    c.in.clear();
    c.out.clear();
    c.chunked.reset();
    c.sent = c.mark = c.stepped = c.need = c.skip = c.looked = c.scan_at = c.discarded = 0;
    unused_.push_back(c.index);
    --used_;
  }

  Connection& at(std::uint32_t index) { return slots_[index]; }
  Connection* of_generation(std::uint32_t index, std::uint32_t generation) noexcept {
    if (index >= slots_.size()) return nullptr;
    Connection& c = slots_[index];
    return c.state != Connection::State::free && c.generation == generation ? &c : nullptr;
  }
  // The connection whose request of that number is with the service.
  Connection* serving(std::uint32_t index, std::uint32_t exchange) noexcept {
    if (index >= slots_.size()) return nullptr;
    Connection& c = slots_[index];
    return c.state == Connection::State::serving && c.exchange == exchange ? &c : nullptr;
  }

  template <class F>
  void for_each(F&& visit) {  // `visit` may give the connection back
    for (Connection& c : slots_) {
      if (c.state != Connection::State::free) visit(c);
    }
  }

  std::size_t used() const noexcept { return used_; }
  bool is_full() const noexcept { return used_ == most_; }

 private:
  const std::size_t most_;
  BufferBudget& budget_;
  std::size_t used_ = 0;
  std::deque<Connection> slots_;  // a deque: addresses stay
  std::vector<std::uint32_t> unused_;
};

}  // namespace ratchet::http
