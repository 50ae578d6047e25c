// What happened, told to people: one log line per change, the history, the metrics, and the snapshot that everybody
// reads. The manager decides, the chronicle only tells. Control thread.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/history.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/core/alarms.hpp"
#include "levels/core/flapping.hpp"
#include "levels/core/ladder.hpp"
#include "levels/core/status.hpp"

namespace ratchet {

class Chronicle {
 public:
  struct Parts {
    std::string instance;
    std::string version;
    std::array<std::string_view, kTopLevel + 1> names;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    History& history;
    AlarmBoard& alarms;
    Duration alarm_after;  // not held though wanted
    Duration settle;       // held for so long: no alarm any more
  };
  explicit Chronicle(Parts parts);

  void raise_begun(int level);
  void raised(int level);
  // Logged when the reason differs from the last one said; otherwise counted.
  void raise_failed(int level, const Fault& fault, Duration rest);
  // The raise was broken off because the level was not wanted any more: no failure.
  void raise_broken_off(int level);
  void faulted(const Fault& fault, std::uint64_t count);
  // `reason`: "fault", "hold", "stop".
  void lowered(int level, std::string_view reason);
  void held_back(HoldStatus hold);
  void released(std::string_view who);
  void stopping(std::string_view who);
  void stopped(std::optional<std::uint64_t> cut_requests);
  void overrun(int level, std::string_view verb, Duration by);
  void overrun_ended(int level);

  // How long the level has been held; zero when it is not.
  Duration held_for(int level, TimePoint now) const;
  std::optional<FaultKind> last_kind(int level) const;
  int falls(int level, TimePoint now) const;  // of late (Flapping)

  // Sets and clears the levels' alarms by their rule, and the metrics that follow the alarms.
  void look(const ladder::State& state, TimePoint now);
  std::optional<TimePoint> next_look() const;

  using Degraded = std::array<std::optional<std::string>, kTopLevel + 1>;  // of each level, see HeldLevel
  Status status(const ladder::State& state, const Degraded& degraded, TimePoint now) const;

 private:
  struct LevelNotes {
    WallTime since;
    std::optional<TimePoint> held_since;
    std::optional<TimePoint> raise_began;
    std::uint64_t attempts = 0;
    std::uint64_t unsaid_failures = 0;  // since the last one that was logged
    std::string said;                   // the reason last logged
    std::optional<FaultNote> last_fault;
    Flapping flapping;
    bool flaps = false;  // its alarm is set
    bool overruns = false;
  };
  LevelNotes& notes(int level) { return notes_[static_cast<std::size_t>(level)]; }
  const LevelNotes& notes(int level) const { return notes_[static_cast<std::size_t>(level)]; }
  std::string_view name(int level) const { return parts_.names[static_cast<std::size_t>(level)]; }
  void transition(int from, int to, std::string_view reason);
  void note_fault(int level, const Fault& fault);
  void add_history(std::string what, int level, std::string text);
  void set_level_alarm(int level);
  void look_at_flapping(int level, TimePoint now);
  void set_flapping_alarm(int level);
  void count_alarms();

  Parts parts_;
  std::array<LevelNotes, kTopLevel + 1> notes_;
  std::vector<LevelAlarm> level_alarms_;  // [n-1] is level n's
  std::array<bool, kTopLevel + 1> alarmed_{};
  std::optional<HoldStatus> hold_;
  std::map<std::string, Gauge> alarm_gauges_;
  Gauge level_gauge_;
  TimePoint born_;
  WallTime since_;
  std::uint64_t transitions_ = 0;
  std::optional<TimePoint> stop_began_;
};

}  // namespace ratchet
