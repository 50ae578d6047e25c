#include "levels/3_service/waiting.hpp"

#include <cassert>

namespace ratchet::service {
namespace {

bool same(http::Ticket a, http::Ticket b) noexcept {
  return a.connection == b.connection && a.generation == b.generation;
}

}  // namespace

Wait& Waiting::begin(http::Ticket ticket, Route& route) {
  if (ticket.connection >= by_connection_.size()) by_connection_.resize(ticket.connection + 1);
  if (free_.empty()) {
    if (places_.size() == places_.capacity()) places_.reserve(2 * places_.size() + 1);
    free_.reserve(places_.capacity());  // end() must not need memory
    places_.emplace_back();
    free_.push_back(static_cast<std::uint32_t>(places_.size() - 1));
  }
  const std::uint32_t at = free_.back();
  free_.pop_back();
  by_connection_[ticket.connection] = at + 1;
  if (++turn_ == 0) turn_ = 1;
  Wait& wait = places_[at];
  wait.token = std::uint64_t{turn_} << 32 | at;
  wait.ticket = ticket;
  wait.route = &route;
  wait.answered = false;
  route.in_flight++;
  return wait;
}

Wait* Waiting::find(std::uint64_t token) noexcept {
  const std::uint64_t at = token & 0xffff'ffff;
  return token != 0 && at < places_.size() && places_[at].token == token ? &places_[at] : nullptr;
}

Wait* Waiting::find(http::Ticket ticket) noexcept {
  if (ticket.connection >= by_connection_.size() || by_connection_[ticket.connection] == 0) return nullptr;
  const std::size_t at = by_connection_[ticket.connection] - 1;
  if (at >= places_.size()) return nullptr;
  Wait& wait = places_[at];
  return wait.token != 0 && !wait.answered && same(wait.ticket, ticket) ? &wait : nullptr;
}

void Waiting::end(Wait& wait) noexcept {
  assert(wait.token != 0 && wait.route->in_flight > 0);
  wait.route->in_flight--;
  free_.push_back(static_cast<std::uint32_t>(wait.token & 0xffff'ffff));
  wait.token = 0;
}

std::vector<std::uint64_t> Waiting::unanswered() const {
  std::vector<std::uint64_t> tokens;
  for (const Wait& wait : places_) {
    if (wait.token != 0 && !wait.answered) tokens.push_back(wait.token);
  }
  return tokens;
}

void Waiting::forget_all() noexcept {
  places_.clear();
  free_.clear();
  by_connection_.clear();
}

}  // namespace ratchet::service
