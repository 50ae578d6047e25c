// What is known of how much waits in an outbox, and what its budget says to that. Not measured is not nothing: what was
// last known grows older by itself, and once too long without a look the budget counts as spent. Pure; one thread at a
// time.
#pragma once

#include <optional>

#include "config/settings.hpp"
#include "levels/1_database/outbox.hpp"
#include "levels/core/clock.hpp"

namespace ratchet::kafka {

class Backlog {
 public:
  struct Times {
    Duration fresh;  // an older look tells nothing any more
    Duration blind;  // so long without a look, or outbox.max_age_s where that is shorter, and the budget is spent
  };
  Backlog(const OutboxSettings& budget, Times times) noexcept : budget_(budget), times_(times) {}

  void begin(TimePoint now) noexcept;  // looking begins, perhaps again: nobody has neglected it before
  void looked(const db::OutboxStats& stats, TimePoint now);
  // The cursor was moved by this instance. What others move is seen by looking.
  void carried(TimePoint now) noexcept;

  // The latest look, while it is fresh.
  const db::OutboxStats* known(TimePoint now) const noexcept;
  // Since the latest look, or since looking began.
  Duration unseen(TimePoint now) const noexcept { return now - seen_at_; }
  // For so long events have been waiting without any of them going, as far as looks tell; empty: none waits, or they
  // go.
  std::optional<Duration> standing(TimePoint now) const noexcept;

  enum class Budget : std::uint8_t { kept, spent, unknown };
  // Kept again only when well below: a service that opens and closes at the edge helps nobody.
  Budget judge(TimePoint now);

 private:
  bool has_moved(const db::OutboxStats& stats) const noexcept;

  const OutboxSettings budget_;
  const Times times_;
  std::optional<db::OutboxStats> stats_;
  TimePoint seen_at_{}, measured_at_{};
  std::optional<TimePoint> stands_since_;
  bool over_ = false;
};

}  // namespace ratchet::kafka
