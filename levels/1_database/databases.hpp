// All databases of the configuration. The required ones are raised by level 1; the others climb by themselves, from
// start() to stop().
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levels/1_database/climber.hpp"
#include "levels/1_database/level.hpp"

namespace ratchet::db {

// One pool, for people.
struct PoolStatus {
  std::string name;
  PoolRole role;
  bool required;
  bool outbox;
  Pool::Counts counts;
  std::optional<Pool::LastError> last_error;
  std::optional<WallTime> next_attempt;  // of an optional one that rests
};

class Databases {
 public:
  struct Parts {
    const Settings& settings;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    AlarmBoard& alarms;
    History& history;
    FaultSink& faults;               // of the required ones
    std::function<double()> chance;  // uniform in [0, 1), any thread
  };
  explicit Databases(Parts parts);
  ~Databases();

  void start();  // the optional ones begin to climb
  void stop();   // they are let go. Idempotent

  std::vector<Database*> required() noexcept;
  std::vector<Database*> outboxes() noexcept;
  void set_sink(CommitSink* sink) noexcept;  // of all outboxes; before start

  // Any thread, all of these.
  std::vector<PoolStatus> status() const;
  std::optional<TimePoint> next_attempt(std::string_view pool) const;  // of an optional one that rests
  std::optional<std::string> missing() const;  // the optional ones that are not connected, and why, one line
  bool can_commit() const;                     // some outbox takes events
  // A rolling reconnect of that pool: how many connections will be replaced, or why it cannot be done.
  Result<int, std::string> reconnect(std::string_view pool);

 private:
  struct One {
    std::unique_ptr<Climber> climber;  // of an optional one
    std::unique_ptr<Database> database;
  };
  const One* find(std::string_view pool) const noexcept;

  const TimeSource& time_;
  std::vector<One> all_;
};

}  // namespace ratchet::db
