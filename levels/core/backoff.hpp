// How long to rest before the next attempt: decorrelated jitter (AWS: min(cap, U(base, 3 * previous))) with a
// floor, so that a fleet that lost the same database does not come back in step. It forgets only after what it
// guards has been held for `settle`: success alone proves little. And while that flaps (flapping.hpp) it does not forget
// at all: from the third fall on each rest is at least twice as long as for the fall before, up to the cap less a fifth.
#pragma once

#include "levels/core/clock.hpp"

namespace ratchet {

// Tuned by `build/dev/tests/simulation/fleet`: 1,000 instances, pools of 8, on a database that sets up 1,000
// connections a second. Seconds from when it accepts again until all serve, and attempts of one instance in a second:
//
//                                        refused for 0.2 s     2 s        5 s        60 s      flaps
//   base 1 s, early 1.8 s (these)          3.0 s, 1        2.8 s, 1   2.8 s, 1   10.0 s, 1     0
//   base 1 s, early 2 s                    3.2 s, 1        3.0 s, 1   3.0 s, 1   10.1 s, 1     0
//   cap 20 s                               3.0 s, 1        2.8 s, 1   2.8 s, 1   20.0 s, 1     0
//   base 0.1 s, no early (--early 300      1.5 s, 1        4.0 s, 7   8.1 s, 7   10.0 s, 8     0
//     --early-for 1 --base 100)
//
// Base is a second, so nobody tries more often; early keeps a short outage short (the promise is 3 s after one of
// 5 s); cap bounds what a long one adds (the promise is 15 s, of a fleet).
// settle is longer than a rest, so a flapper does not forget between two falls.
struct BackoffSettings {
  Duration base = std::chrono::milliseconds(1000);
  Duration cap = std::chrono::seconds(10);
  Duration settle = std::chrono::seconds(10);
  Duration early = std::chrono::milliseconds(1800);  // the longest rest until `early_for` has been rested
  Duration early_for = std::chrono::seconds(15);
};

class Backoff {
 public:
  explicit Backoff(BackoffSettings settings = {}) noexcept : settings_(settings) {}

  // The rest after one more failure. `chance` is uniform in [0, 1).
  Duration next(double chance) noexcept;
  // The rest after a failure that only a person can mend: the cap, less up to a fifth.
  Duration cap(double chance) noexcept;
  // The rest after a failure whose cause ends at once when it ends: base plus jitter, more only where it flaps.
  Duration soon(double chance) const noexcept;
  // What was held for so long is lost, the `falls`th time of late (Flapping::falls). The rest that follows is base plus
  // jitter if it had been held for `settle`, and does not flap.
  void fell(Duration held, int falls = 1) noexcept;

 private:
  BackoffSettings settings_;
  Duration previous_{};
  Duration rested_{};  // in all, since it forgot
  Duration least_{};   // of the next rest, while what it guards flaps; else zero
};

}  // namespace ratchet
