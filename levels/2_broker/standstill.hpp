// Is the outbox being published? What the relay meets with, and what looks at the outbox show, together decide when a
// person is told that nothing goes, and why. Pure; one thread at a time.
//
// Progress is what a look shows (less waits, or another event is the oldest), whoever made it, and what this instance's
// own cursor did. An instance that stands by says nothing as long as the other one moves, and is more patient: a lease
// has to run out before it can lead. What an operator paused, and Kafka away, have alarms of their own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "levels/2_broker/backlog.hpp"

namespace ratchet::kafka {

// What keeps the relay from its work, in words, and what a person does about it.
struct Hindrance {
  std::string text;
  std::string remedy;
  bool lock = false;  // perhaps another transaction's: its holder is worth looking for
  bool told = false;  // has an alarm of its own
};

// `doing`: "reading the outbox".
Hindrance hindrance(std::string_view doing, const db::SqlError& error);

class Standstill {
 public:
  explicit Standstill(Duration patience) noexcept : patience_(patience) {}

  void begin(TimePoint now);  // the relay starts, or waits for its pool without a word
  void hindered(Hindrance hindrance);
  void stands_by(TimePoint now);   // another instance has the lease
  void found_none(TimePoint now);  // leads, and reading found nothing to publish
  void carried(TimePoint now);     // the cursor has moved, in the database

  bool locked() const noexcept { return hindrance_ && hindrance_->lock; }
  // What the alarm says; empty: no alarm. `holder`: who holds the lock the relay waits for, if that is known.
  std::optional<Hindrance> look(const Backlog& backlog, const std::optional<Hindrance>& holder, TimePoint now) const;

 private:
  enum class Role : std::uint8_t { none, leads, stands_by };
  Hindrance cause(const std::optional<Hindrance>& holder) const;

  const Duration patience_;
  Role role_ = Role::none;
  TimePoint well_at_{};  // when it last did what it is there for
  std::optional<Hindrance> hindrance_;
};

}  // namespace ratchet::kafka
