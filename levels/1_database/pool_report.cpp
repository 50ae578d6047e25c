// What the pool makes of what its users were told.
#include "levels/1_database/blame.hpp"
#include "levels/1_database/pool_inside.hpp"
#include "levels/core/runbook.hpp"

namespace ratchet::db {
namespace {

std::string disk_alarm_id(const std::string& pool) { return "pool." + pool + ".disk-full"; }
std::string stall_alarm_id(const std::string& pool) { return "commits.stuck." + pool; }

}  // namespace

void Pool::Inside::stored() noexcept {
  if (disk_full_.load(std::memory_order_relaxed) && disk_full_.exchange(false)) {
    parts_.alarms.clear(disk_alarm_id(settings_.name));
  }
  if (!stalling_.load(std::memory_order_relaxed)) return;
  std::lock_guard lock(mutex_);
  stalling_ = false;
  if (stall_.stored()) parts_.alarms.clear(stall_alarm_id(settings_.name));
}

void Pool::Inside::report(const SqlError& error) {
  const std::string kind(kind_word(error));
  parts_.metrics
      .counter("ratchet_database_errors_total", "Errors that PostgreSQL answered with, or connections lost, by kind",
               {{"pool", settings_.name}, {"kind", kind}})
      .add();
  if (fault_kind(error) == FaultKind::disk_full) {
    const std::string text = "database " + settings_.name + ": " + error.text + " (" + where_ + ")";
    remember(text);
    disk_full_ = true;
    parts_.alarms.set(disk_alarm_id(settings_.name), text, runbook(FaultKind::disk_full));
  }
  if (server_is_gone(error) || session_is_swapped(error)) return broken(error);
  if (error.kind == SqlError::Kind::said && blame(error) == Blame::unclear) doubt_ = true;
}

void Pool::Inside::broken(const SqlError& error) {
  std::lock_guard lock(mutex_);
  lose(fault_of(fault_kind(error), error.text + " (" + where_ + ")"));
}

void Pool::Inside::not_stored(const SqlError& error) {
  std::lock_guard lock(mutex_);
  stalling_ = true;
  if (!stall_.failed(error, parts_.time.now())) return;
  const std::string text = "database " + settings_.name + ": no event can be stored: " + error.text;
  note(text);
  parts_.alarms.set(stall_alarm_id(settings_.name), text, stall_remedy(error));
}

}  // namespace ratchet::db
