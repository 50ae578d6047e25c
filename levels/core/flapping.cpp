#include "levels/core/flapping.hpp"

#include <algorithm>

namespace ratchet {

void Flapping::fell(TimePoint now) noexcept {
  at_[next_] = now;
  next_ = (next_ + 1) % at_.size();
  size_ = std::min(size_ + 1, at_.size());
}

int Flapping::falls(TimePoint now) const noexcept {
  int count = 0;
  for (std::size_t i = 0; i < size_; ++i)
    if (now - at_[i] < kWindow) ++count;
  return count;
}

LevelAlarm::Verdict Flapping::look(TimePoint now) noexcept {
  const int count = falls(now);
  if (!alarmed_ && count >= kMany) {
    alarmed_ = true;
    return LevelAlarm::Verdict::raise;
  }
  if (alarmed_ && count == 0) {
    alarmed_ = false;
    return LevelAlarm::Verdict::clear;
  }
  return LevelAlarm::Verdict::keep;
}

std::optional<TimePoint> Flapping::next_look() const noexcept {
  if (!alarmed_) return std::nullopt;
  return at_[(next_ + at_.size() - 1) % at_.size()] + kWindow;
}

}  // namespace ratchet
