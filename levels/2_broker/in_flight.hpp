// How many records are in flight, and since when the oldest one is. Counted by 100 ms of their birth, so that neither
// producing nor a delivery takes a lock or allocates. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "levels/core/clock.hpp"

namespace ratchet::kafka {

class InFlight {
 public:
  using Stamp = std::uint16_t;
  static constexpr Duration kSlot = std::chrono::milliseconds(100);
  static constexpr std::size_t kSlots =
      1024;  // 102 s: ages beyond that are told too young, long after they are a fault

  Stamp begin(TimePoint now) noexcept {
    auto stamp = slot(now);
    slots_[stamp].fetch_add(1, std::memory_order_relaxed);
    count_.fetch_add(1, std::memory_order_acq_rel);
    return stamp;
  }
  // True: it was the last one.
  bool end(Stamp stamp) noexcept {
    slots_[stamp].fetch_sub(1, std::memory_order_relaxed);
    return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  std::size_t count() const noexcept { return count_.load(std::memory_order_acquire); }

  // Rounded down to the slot.
  std::optional<TimePoint> oldest(TimePoint now) const noexcept {
    if (count() == 0) return std::nullopt;
    auto tick = now.time_since_epoch() / kSlot;
    for (std::size_t back = kSlots - 1; back > 0; --back) {
      auto then = tick - static_cast<Duration::rep>(back);
      if (then >= 0 && slots_[index(then)].load(std::memory_order_relaxed) > 0) return TimePoint(then * kSlot);
    }
    return TimePoint(tick * kSlot);
  }

 private:
  static std::size_t index(Duration::rep tick) noexcept { return static_cast<std::size_t>(tick) % kSlots; }
  static Stamp slot(TimePoint now) noexcept { return static_cast<Stamp>(index(now.time_since_epoch() / kSlot)); }

  std::array<std::atomic<std::int32_t>, kSlots> slots_{};
  std::atomic<std::size_t> count_{0};
};

}  // namespace ratchet::kafka
