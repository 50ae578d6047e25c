// Something that is held, lost, and held again, over and over: each fall is mended in a second or two, so no alarm of
// "not held" is ever due, and yet nothing gets done. Three falls within five minutes are an alarm, which stands until
// there was none for five minutes; and the backoff grows with them (backoff.hpp).
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "levels/core/alarms.hpp"
#include "levels/core/clock.hpp"

namespace ratchet {

class Flapping {
 public:
  static constexpr Duration kWindow = std::chrono::minutes(5);
  static constexpr int kMany = 3;
  static constexpr int kMost = 64;  // more are not told apart

  // It was held and is lost. `now` never goes back.
  void fell(TimePoint now) noexcept;
  // How often within the window; at most kMost.
  int falls(TimePoint now) const noexcept;

  LevelAlarm::Verdict look(TimePoint now) noexcept;
  std::optional<TimePoint> next_look() const noexcept;  // when `look` may say something new without a fall

 private:
  std::array<TimePoint, kMost> at_{};  // a ring: the latest before `next_`
  std::size_t next_ = 0;
  std::size_t size_ = 0;
  bool alarmed_ = false;
};

}  // namespace ratchet
