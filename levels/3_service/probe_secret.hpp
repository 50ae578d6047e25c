// service.probe_secret, from where it is kept to Health, which compares it. Worker thread of level 3.
#pragma once

#include <optional>

#include "config/secret.hpp"
#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/health.hpp"

namespace ratchet::service {

class ProbeSecret {
 public:
  // `secret`: none, and nothing is done.
  ProbeSecret(std::optional<Secret> secret, Health& health, AlarmBoard& alarms)
      : secret_(std::move(secret)), health_(health), alarms_(alarms) {}

  // Reads it, at most once in 10 s: a changed one needs no restart. One that cannot be had, or that no header could
  // carry, is alarmed; until it can be had no balancer's word is heard, and a drain goes by how often they ask.
  void renew(TimePoint now);

 private:
  const std::optional<Secret> secret_;
  Health& health_;
  AlarmBoard& alarms_;
  std::optional<TimePoint> read_at_;
};

}  // namespace ratchet::service
