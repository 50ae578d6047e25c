#include "levels/core/alarms.hpp"

namespace ratchet {

Alarms::Change Alarms::set(std::string_view id, std::string_view text, std::string_view runbook, WallTime at) {
  auto found = set_.find(id);
  if (found == set_.end()) {
    set_.emplace(std::string(id), AlarmStatus{std::string(id), at, std::string(text), std::string(runbook)});
    return Change::set;
  }
  AlarmStatus& alarm = found->second;
  if (alarm.text == text && alarm.runbook == runbook) return Change::none;
  alarm.text = text;
  alarm.runbook = runbook;
  return Change::text;
}

Alarms::Change Alarms::clear(std::string_view id) {
  auto found = set_.find(id);
  if (found == set_.end()) return Change::none;
  set_.erase(found);
  return Change::cleared;
}

std::vector<AlarmStatus> Alarms::list() const {
  std::vector<AlarmStatus> out;
  out.reserve(set_.size());
  for (const auto& [id, alarm] : set_)
    out.push_back(alarm);
  return out;
}

bool Alarms::is_set(std::string_view id) const { return set_.find(id) != set_.end(); }

LevelAlarm::Verdict LevelAlarm::look(bool wanted, bool held, TimePoint now) noexcept {
  if (!held) held_since_.reset();
  if (held && !held_since_) held_since_ = now;
  if (held || !wanted) missing_since_.reset();
  if (!held && wanted && !missing_since_) missing_since_ = now;

  if (!set_ && missing_since_ && now - *missing_since_ >= patience_) {
    set_ = true;
    return Verdict::raise;
  }
  if (set_ && held_since_ && now - *held_since_ >= settle_) {
    set_ = false;
    return Verdict::clear;
  }
  return Verdict::keep;
}

std::optional<TimePoint> LevelAlarm::next_look() const noexcept {
  if (!set_ && missing_since_) return *missing_since_ + patience_;
  if (set_ && held_since_) return *held_since_ + settle_;
  return std::nullopt;
}

}  // namespace ratchet
