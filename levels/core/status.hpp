// What the daemon says about itself: one immutable snapshot, made by the control thread, read by everybody.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levels/core/ladder.hpp"

namespace ratchet {

enum class Doing : std::uint8_t { climbing, serving, falling, draining, held_back, stopping };
std::string_view to_string(Doing doing) noexcept;
Doing doing(const ladder::State& state) noexcept;

struct FaultNote {
  FaultKind kind;
  std::string text;
  WallTime at;
};

struct LevelStatus {
  int level = 0;
  std::string_view name;                 // baseline, database, broker, service
  bool held = false;
  WallTime since{};                      // of being held, or of not being held
  std::uint64_t attempts = 0;            // raises begun since it was last lost
  std::optional<WallTime> next_attempt;  // while the ladder rests before raising this level
  std::optional<std::string> degraded;
  std::optional<FaultNote> last_fault;
};

struct AlarmStatus {
  std::string id;
  WallTime since;
  std::string text;
  std::string runbook;
};

struct HoldStatus {
  int level;
  std::string reason;
  std::string who;
};

struct Status {
  std::string instance;
  std::string version;
  int held = 0;
  int ceiling = kTopLevel;
  Doing doing = Doing::climbing;
  WallTime since{};                               // of the latest transition
  std::optional<TimePoint> next_attempt;          // the next raise, when resting
  bool ready = false;                             // held == 3 and not on the way down
  std::optional<HoldStatus> hold;
  std::array<LevelStatus, kTopLevel + 1> levels;  // always four
  std::vector<AlarmStatus> alarms;                // sorted by id
};

// One line for systemd and ratchetctl: "level 0: database main: connection refused, next attempt in 3 s".
std::string headline(const Status& status, TimePoint now);

}  // namespace ratchet
