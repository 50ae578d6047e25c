// How long to rest before the next attempt: decorrelated jitter (AWS: min(cap, U(base, 3 * previous))) with a
// floor, so that a fleet that lost the same database does not come back in step. It forgets only after what it
// guards has been held for `settle`: success alone proves little.
#pragma once

#include "levels/core/clock.hpp"

namespace ratchet {

struct BackoffSettings {
  Duration base = std::chrono::milliseconds(100);
  Duration cap = std::chrono::seconds(10);
  Duration settle = std::chrono::seconds(10);
};

class Backoff {
 public:
  explicit Backoff(BackoffSettings settings = {}) noexcept : settings_(settings) {}

  // The rest after one more failure. `chance` is uniform in [0, 1).
  Duration next(double chance) noexcept;
  // The rest after a failure that only a person can mend: the cap, less up to a fifth.
  Duration cap(double chance) noexcept;
  // The rest after a fault of something that was held: base plus jitter, if it had been held for `settle`.
  void held_for(Duration held) noexcept;

 private:
  BackoffSettings settings_;
  Duration previous_{};
};

}  // namespace ratchet
