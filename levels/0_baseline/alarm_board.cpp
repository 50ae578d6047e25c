#include "levels/0_baseline/alarm_board.hpp"

namespace ratchet {

// Logged under the lock, so that the log's order is the order of the changes; the log never blocks.
void AlarmBoard::set(std::string_view id, std::string_view text, std::string_view runbook) {
  std::lock_guard lock(mutex_);
  const auto change = alarms_.set(id, text, runbook, time_.wall());
  if (change == Alarms::Change::set)
    log_.warning("alarm set", {{"id", std::string(id)}, {"text", std::string(text)}, {"do", std::string(runbook)}});
  if (change == Alarms::Change::text)
    log_.info("alarm says more", {{"id", std::string(id)}, {"text", std::string(text)}});
}

void AlarmBoard::clear(std::string_view id) {
  std::lock_guard lock(mutex_);
  if (alarms_.clear(id) == Alarms::Change::cleared) log_.notice("alarm cleared", {{"id", std::string(id)}});
}

std::vector<AlarmStatus> AlarmBoard::list() const {
  std::lock_guard lock(mutex_);
  return alarms_.list();
}

}  // namespace ratchet
