// The ops port (default 127.0.0.1:8081), its own reactor and thread, never starved by the service: /live /ready
// /health, and the details: /levels /alarms /history /metrics /info, listed by /. Port taken: alarm, try again each
// second, climb anyway.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/health.hpp"
#include "levels/0_baseline/history.hpp"
#include "levels/0_baseline/http_router.hpp"
#include "levels/0_baseline/reactor.hpp"

namespace ratchet {

std::string to_json(const Status& status);                        // DESIGN 13, /levels
std::string to_json(const std::vector<AlarmStatus>& alarms);      // [{"id","since","text","runbook"}]
std::string to_json(const std::vector<History::Entry>& history);  // [{"at","what","level","text"}]

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

  // Tries to bind; false: not possible (alarm `ops.port`, cleared once it is). Control thread; again each second
  // until true; after that it stays true.
  bool open();
  std::uint16_t port() const noexcept;  // 0 until open
  bool alive(TimePoint now) const noexcept;  // its loop has turned lately; any thread

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet
