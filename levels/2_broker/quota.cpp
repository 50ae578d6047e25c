#include "levels/2_broker/quota.hpp"

#include <algorithm>
#include <utility>

namespace ratchet::kafka {

namespace {

constexpr std::size_t kNodes = 1024;  // of a cluster

}  // namespace

void Quota::held_back(int node, Duration wait, TimePoint now) {
  if (wait <= Duration::zero()) {
    deaf_until_.erase(node);
    return;
  }
  if (!since_ || now - last_ > kEnds) {
    since_ = now;
    longest_ = {};
    bytes_ = 0;
  }
  last_ = now + wait;
  node_ = node;
  longest_ = std::max(longest_, wait);
  in_this_wave_ = std::max(in_this_wave_, wait);
  until_ = std::max(until_, now + wait);
  if (deaf_until_.size() < kNodes || deaf_until_.count(node) != 0) deaf_until_[node] = now + wait;
}

void Quota::connection_lost(int node) noexcept { deaf_until_.erase(node); }

void Quota::wave(std::size_t bytes, Duration took, TimePoint now) {
  bytes_ += bytes;
  const Duration longest = std::exchange(in_this_wave_, Duration::zero());
  const bool held = longest > Duration::zero();
  if (most_ != kNoBound && now - last_ > kEnds) most_ = kNoBound;
  const std::chrono::duration<double> cost = took + std::max(Duration::zero(), until_ - now);
  const std::chrono::duration<double> right = kWave;
  if (held && cost > right) {
    const std::size_t least = longest > kOfTime ? kLeast : std::max(kLeast, std::min(kFew, bytes));
    most_ = std::max(least, static_cast<std::size_t>(static_cast<double>(bytes) * (right / cost)));
  } else if (!held && most_ != kNoBound) {
    // What was not used lately is granted at once, and says nothing of the rate.
    const auto grown = static_cast<double>(most_ + most_ / 4);
    most_ = std::max(most_, static_cast<std::size_t>(std::min(grown, rate(now) * right.count())));
  }
}

double Quota::rate(TimePoint now) const noexcept {
  const std::chrono::duration<double> since = std::max<Duration>(now - *since_, kTells);
  return static_cast<double>(bytes_) / since.count();
}

bool Quota::deaf(TimePoint now) const noexcept {
  return std::any_of(deaf_until_.begin(), deaf_until_.end(),
                     [now](const auto& one) { return now < one.second + kAnswer; });
}

std::optional<Quota::Said> Quota::said(TimePoint now) const noexcept {
  if (!since_ || now - last_ > kEnds) return std::nullopt;
  if (longest_ < kTells && now - *since_ < kTells) return std::nullopt;
  return Said{node_, longest_, rate(now)};
}

}  // namespace ratchet::kafka
