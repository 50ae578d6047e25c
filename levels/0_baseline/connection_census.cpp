#include "levels/0_baseline/connection_census.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

namespace ratchet::http {
namespace {

constexpr std::size_t kNetworkBytes = 8;  // of an IPv6 address
constexpr AddressBytes kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

ConnectionCensus::Key ConnectionCensus::key_of(std::string_view address) noexcept {
  Key key = parse_numeric(address).value_or(Key{});
  const bool v4 = std::equal(key.begin(), std::next(key.begin(), 12), kMapped.begin());
  if (!v4) std::fill(std::next(key.begin(), kNetworkBytes), key.end(), static_cast<unsigned char>(0));
  return key;
}

void ConnectionCensus::enter(Seat& seat, std::string_view address) {
  assert(!seat.taken());
  const auto [at, is_new] = addresses_.try_emplace(key_of(address));
  Address& home = at->second;
  if (is_new) home.self = at;
  // Room for all it may be listed under, while asking for memory may still fail.
  if (by_held_.size() < home.held + 2) by_held_.resize(2 * (home.held + 2));
  if (home.first_idle != nullptr) unlist(home);
  ++home.held;
  if (home.first_idle != nullptr) list(home);
  seat.address = &home;
  ++size_;
}

void ConnectionCensus::leave(Seat& seat) noexcept {
  if (!seat.taken()) return;
  becomes_active(seat);
  Address& home = *std::exchange(seat.address, nullptr);
  if (home.first_idle != nullptr) unlist(home);
  --home.held;
  --size_;
  if (home.held == 0) addresses_.erase(home.self);
  else if (home.first_idle != nullptr) list(home);
}

void ConnectionCensus::becomes_idle(Seat& seat) noexcept {
  if (!seat.taken()) return;
  Address& home = *seat.address;
  if (seat.idle) {
    if (home.last_idle == &seat) return;
    unlink(seat);
  }
  const bool first = home.first_idle == nullptr;
  seat.idle = true;
  seat.before = home.last_idle;
  (first ? home.first_idle : home.last_idle->after) = &seat;
  home.last_idle = &seat;
  if (first) list(home);
}

void ConnectionCensus::becomes_active(Seat& seat) noexcept {
  if (!seat.idle) return;
  Address& home = *seat.address;
  unlink(seat);
  if (home.first_idle == nullptr) unlist(home);
}

// Leaves its address listed.
void ConnectionCensus::unlink(Seat& seat) noexcept {
  Address& home = *seat.address;
  (seat.before == nullptr ? home.first_idle : seat.before->after) = seat.after;
  (seat.after == nullptr ? home.last_idle : seat.after->before) = seat.before;
  seat.before = seat.after = nullptr;
  seat.idle = false;
}

void ConnectionCensus::list(Address& address) noexcept {
  Address*& first = by_held_[address.held];
  address.after = first;
  if (first != nullptr) first->before = &address;
  first = &address;
  most_ = std::max(most_, address.held);
}

void ConnectionCensus::unlist(Address& address) noexcept {
  (address.before == nullptr ? by_held_[address.held] : address.before->after) = address.after;
  if (address.after != nullptr) address.after->before = address.before;
  address.before = address.after = nullptr;
}

std::size_t ConnectionCensus::held_by(std::string_view address) const {
  const auto at = addresses_.find(key_of(address));
  return at == addresses_.end() ? 0 : at->second.held;
}

ConnectionCensus::Seat* ConnectionCensus::least_needed() noexcept {
  while (most_ > 0 && by_held_[most_] == nullptr) --most_;
  return most_ == 0 ? nullptr : by_held_[most_]->first_idle;
}

}  // namespace ratchet::http
