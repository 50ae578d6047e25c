// The daemon's alarms, set and cleared from any thread, logged once per change.
#pragma once

#include <mutex>
#include <string_view>
#include <vector>

#include "levels/0_baseline/log.hpp"
#include "levels/core/alarms.hpp"

namespace ratchet {

class AlarmBoard {
 public:
  AlarmBoard(const TimeSource& time, Log& log) : time_(time), log_(log) {}
  void set(std::string_view id, std::string_view text, std::string_view runbook);
  void clear(std::string_view id);
  std::vector<AlarmStatus> list() const;

 private:
  const TimeSource& time_;
  Log& log_;
  mutable std::mutex mutex_;
  Alarms alarms_;
};

}  // namespace ratchet
