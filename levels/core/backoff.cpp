#include "levels/core/backoff.hpp"

#include <algorithm>
#include <cassert>

#include "levels/core/flapping.hpp"

namespace ratchet {

namespace {

Duration between(Duration low, Duration high, double chance) noexcept {
  assert(chance >= 0 && chance < 1);
  return low + Duration(static_cast<Duration::rep>(static_cast<double>((high - low).count()) * chance));
}

}  // namespace

Duration Backoff::next(double chance) noexcept {
  if (least_ > Duration::zero()) {
    previous_ = between(least_, std::min(settings_.cap, 3 * std::max(previous_, least_)), chance);
    return previous_;
  }
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

Duration Backoff::soon(double chance) const noexcept {
  return std::max(least_, between(settings_.base, std::max(settings_.early, settings_.base), chance));
}

void Backoff::fell(Duration held, int falls) noexcept {
  const bool flaps = falls >= Flapping::kMany;
  least_ = Duration::zero();
  if (!flaps && held >= settings_.settle) previous_ = rested_ = Duration::zero();
  if (!flaps) return;
  const Duration most = std::max(settings_.base, settings_.cap - settings_.cap / 5);
  least_ = settings_.base;
  for (int i = 2; i < falls && least_ < most; ++i)
    least_ *= 2;
  least_ = std::min(least_, most);
}

}  // namespace ratchet
