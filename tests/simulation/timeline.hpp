// The world's clock and its dice. Everything that will happen stands on one list, ordered by time and then by when it
// was put there; nothing happens beside it. So one seed is one run, on every machine.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "levels/core/clock.hpp"

namespace ratchet::simulation {

// SplitMix64: the standard library's distributions differ between its makers.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t roll() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double chance() noexcept { return static_cast<double>(roll() >> 11) * 0x1.0p-53; }  // [0, 1)
  int below(int n) noexcept { return static_cast<int>(roll() % static_cast<std::uint64_t>(n)); }
  bool one_in(int n) noexcept { return below(n) == 0; }
  Duration between(Duration low, Duration high) noexcept {
    return low + Duration(static_cast<Duration::rep>(static_cast<double>((high - low).count()) * chance()));
  }

 private:
  std::uint64_t state_;
};

class Timeline final : public TimeSource {
 public:
  TimePoint now() const noexcept override { return now_; }
  WallTime wall() const noexcept override {
    const auto since = now_.time_since_epoch() + wall_jumps_;
    return WallTime(std::chrono::duration_cast<WallTime::duration>(since));
  }
  void jump_wall(Duration by) noexcept { wall_jumps_ += by; }

  void at(TimePoint when, std::function<void()> what) {
    todo_.push({when < now_ ? now_ : when, ++count_, std::move(what)});
  }
  void after(Duration wait, std::function<void()> what) { at(now_ + wait, std::move(what)); }

  // What stands first on the list, if that is not later than `end`. False: nothing does; then it is `end`.
  bool step(TimePoint end) {
    if (todo_.empty() || todo_.top().when > end) {
      now_ = end;
      return false;
    }
    const auto what = std::move(todo_.top().what);
    now_ = todo_.top().when;
    todo_.pop();
    what();
    return true;
  }

 private:
  struct Entry {
    TimePoint when;
    std::uint64_t number;
    mutable std::function<void()> what;  // priority_queue shows its top as const
    bool operator<(const Entry& other) const noexcept {
      return when != other.when ? when > other.when : number > other.number;
    }
  };
  TimePoint now_{std::chrono::hours(24 * 365 * 40)};
  Duration wall_jumps_{};
  std::uint64_t count_ = 0;
  std::priority_queue<Entry> todo_;
};

}  // namespace ratchet::simulation
