// The requests that wait for their commit. A commit's outcome may come long after its request was answered (deadline)
// or its client left, when the connection already carries another request: so an outcome finds its request by a token
// that is never used again, not by connection. Reactor thread only.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "levels/0_baseline/reactor.hpp"
#include "levels/3_service/routes.hpp"

namespace ratchet::service {

struct Wait {
  std::uint64_t token = 0;  // 0: this place is free
  http::Ticket ticket;
  std::uint64_t place = 0;  // in the commit queue, for withdraw
  Route* route = nullptr;
  const Outbox* outbox = nullptr;  // in whose commit queue; set by who began it, like `place`
  TimePoint since{};  // the end of its headers
  std::array<char, 32> trace_id{};
  std::string peer;       // for the access log; empty without it
  bool answered = false;  // at its deadline; the outcome goes nowhere
};

class Waiting {
 public:
  // Valid until the next begin().
  Wait& begin(http::Ticket ticket, Route& route);
  Wait* find(std::uint64_t token) noexcept;  // null: ended, or forgotten
  Wait* find(http::Ticket ticket) noexcept;  // the one that was not answered yet
  void end(Wait& wait) noexcept;
  void forget_all() noexcept;                     // tokens given out so far will not be found
  std::vector<std::uint64_t> unanswered() const;  // tokens
  std::size_t size() const noexcept { return places_.size() - free_.size(); }

 private:
  std::vector<Wait> places_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> by_connection_;  // index + 1; may be outdated: compare the ticket
  std::uint32_t turn_ = 0;
};

}  // namespace ratchet::service
