// The ops port (default 127.0.0.1:8081), its own reactor and thread, never starved by the service: /live /ready
// /health /levels /alarms /history /metrics /info. Port taken: alarm, try again each second, climb anyway.
#pragma once

#include <memory>
#include <string>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/health.hpp"
#include "levels/0_baseline/history.hpp"
#include "levels/0_baseline/http_router.hpp"
#include "levels/0_baseline/reactor.hpp"

namespace ratchet {

std::string to_json(const Status& status);                              // DESIGN 13, /levels
std::string to_json(const std::vector<AlarmStatus>& alarms);
std::string to_json(const std::vector<History::Entry>& history);
std::string rfc3339(WallTime at);

class Ops {
 public:
  struct Parts {
    const Settings& settings;
    const StatusBoard& board;
    const History& history;
    Health& health;
    AlarmBoard& alarms;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
  };
  explicit Ops(const Parts& parts);
  ~Ops();

  // Tries to bind; false: taken (alarm set). Control thread; again each second until true.
  bool open();

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet
