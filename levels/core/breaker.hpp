// A circuit breaker: whoever depends on something that fails stops asking for a while, and finds out with one call, not
// with all of them, whether it works again. One per route, optional pool and registrar.
//
//   closed    calls pass; a failed or slow one counts as bad. Too many bad ones within the window: open
//   open      no call passes, for a time: `open`, doubled with each failed probe up to `cap`, less up to a fifth
//   probing   that time is over and one call has passed, as the probe; it holds a lease. It goes well: closed. It goes
//             badly, or the lease runs out: open again, for longer
//
// What is easily got wrong, and is not here: a probe that is never reported blocks nothing (the lease); the outcome of
// a call from before the breaker opened changes nothing (its pass is of another turn); the probes of a fleet do not
// come in step (chance); a breaker that closes and opens again at once goes on doubling where it was, until it has been
// closed for a whole window.
//
// Pure: the time and `chance` (uniform in [0, 1)) are arguments. `now` never goes back.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "levels/core/clock.hpp"

namespace ratchet {

struct BreakerSettings {
  Duration window = std::chrono::seconds(10);  // a call counts for this long, less up to a tenth
  std::size_t most_bad = 5;                    // so many bad calls in it ...
  double bad_share = 0.5;           // ... that are so much of all calls in it, open the breaker. 0: the number alone
  Duration slow = Duration::max();  // a call that takes longer is bad
  Duration open = std::chrono::seconds(5);
  Duration cap = std::chrono::seconds(60);
  Duration lease = std::chrono::seconds(10);
};

class Breaker {
 public:
  enum class State : std::uint8_t { closed, open, probing };
  enum class Change : std::uint8_t { none, opened, closed };
  enum class Call : std::uint8_t {
    good,
    bad,
    nothing,  // ended without a word about what it depends on (the caller's mistake): counts nowhere, frees the lease
  };
  struct Pass {
    std::uint64_t turn = 0;
  };

  explicit Breaker(BreakerSettings settings = {}) noexcept : settings_(settings), length_(settings.open) {}

  // Before a call. Empty: it may not be made.
  std::optional<Pass> ask(TimePoint now, double chance) noexcept;

  // After it; once for each pass, late or never is no harm. What it changed.
  Change done(Pass pass, Call call, Duration took, TimePoint now, double chance) noexcept;

  // A failure that belongs to no call that asked. While open or probing it changes nothing.
  Change failed(TimePoint now, double chance) noexcept { return done({turn_}, Call::bad, {}, now, chance, false); }

  State state() const noexcept { return state_; }

  // Until when it is no use to ask; the past when closed.
  TimePoint closed_until() const noexcept;

  // How often it has opened in a row without having been closed for a whole window in between; 0 when closed.
  unsigned openings() const noexcept { return state_ == State::closed ? 0 : openings_; }

  // As new.
  void reset() noexcept { *this = Breaker(settings_); }

 private:
  // The calls of the window in ten parts, so that their number costs nothing.
  static constexpr std::int64_t kParts = 10;
  struct Part {
    std::int64_t number = -1;
    std::uint64_t calls = 0, bad = 0;
  };

  Change done(Pass pass, Call call, Duration took, TimePoint now, double chance, bool may_probe) noexcept;
  void settle(TimePoint now, double chance) noexcept;
  void count(bool bad, TimePoint now) noexcept;
  bool too_bad(TimePoint now) const noexcept;
  void open(TimePoint at, double chance) noexcept;
  void close(TimePoint now) noexcept;
  std::int64_t number(TimePoint now) const noexcept { return now.time_since_epoch() / (settings_.window / kParts); }

  BreakerSettings settings_;
  State state_ = State::closed;
  std::uint64_t turn_ = 1;              // each change of state is another
  Duration length_;                     // of the next opening
  TimePoint until_ = TimePoint::min();  // open: its end; probing: the lease's
  unsigned openings_ = 0;               // in a row
  std::optional<TimePoint> closed_at_;  // after having been open
  std::array<Part, static_cast<std::size_t>(kParts)> parts_{};
};

}  // namespace ratchet
