#include "levels/core/backoff.hpp"

#include <algorithm>
#include <cassert>

namespace ratchet {

namespace {

Duration between(Duration low, Duration high, double chance) noexcept {
  assert(chance >= 0 && chance < 1);
  return low + Duration(static_cast<Duration::rep>(static_cast<double>((high - low).count()) * chance));
}

}  // namespace

Duration Backoff::next(double chance) noexcept {
  Duration highest = 3 * std::max(previous_, settings_.base);
  if (rested_ < settings_.early_for) highest = std::min(highest, std::max(settings_.early, settings_.base));
  previous_ = std::min(settings_.cap, between(settings_.base, highest, chance));
  rested_ += previous_;
  return previous_;
}

// Leaves `previous_` alone: once mended, what follows is an ordinary failure.
Duration Backoff::cap(double chance) noexcept {
  return between(settings_.cap - settings_.cap / 5, settings_.cap, chance);
}

void Backoff::held_for(Duration held) noexcept {
  if (held >= settings_.settle) previous_ = rested_ = Duration::zero();
}

}  // namespace ratchet
