// Alarms: conditions that want a person. Set and cleared by id, idempotent: setting twice is one alarm, clearing
// what is not set is nothing (unlike OTP's default alarm_handler, which keeps duplicates).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levels/core/clock.hpp"
#include "levels/core/status.hpp"

namespace ratchet {

class Alarms {
 public:
  enum class Change : std::uint8_t { none, set, text, cleared };

  // `runbook`: one line that says what to do. A new text on a set alarm keeps `since`.
  Change set(std::string_view id, std::string_view text, std::string_view runbook, WallTime at);
  Change clear(std::string_view id);
  std::vector<AlarmStatus> list() const;  // sorted by id
  bool is_set(std::string_view id) const;

 private:
  std::map<std::string, AlarmStatus, std::less<>> set_;
};

// The rule of a level's alarm: not held though wanted for 15 s sets it; only having been held for `settle`
// clears it, so a level that flaps stays alarmed. One per level.
class LevelAlarm {
 public:
  enum class Verdict : std::uint8_t { keep, raise, clear };
  LevelAlarm(Duration patience, Duration settle) noexcept : patience_(patience), settle_(settle) {}
  Verdict look(bool wanted, bool held, TimePoint now) noexcept;
  std::optional<TimePoint> next_look() const noexcept;  // when `look` may say something new without an event

 private:
  Duration patience_, settle_;
  std::optional<TimePoint> missing_since_, held_since_;
  bool set_ = false;
};

}  // namespace ratchet
