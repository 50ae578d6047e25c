#include "levels/2_broker/standstill.hpp"

#include <utility>

#include "levels/core/runbook.hpp"

namespace ratchet::kafka {
namespace {

constexpr std::string_view kLock =
    "Look for the transaction that holds the lock (pg_locks, pg_stat_activity) and end it.";
constexpr std::string_view kOurSql =
    "What the text names is missing from schema ratchet, or was changed: put back what `ratchetd migrate` made there.";

bool is_about_lock(const db::SqlError& error) noexcept {
  return error.sqlstate == "55P03" || error.sqlstate == "57014" || fault_kind(error) == FaultKind::timed_out;
}

}  // namespace

Hindrance hindrance(std::string_view doing, const db::SqlError& error) {
  const FaultKind kind = fault_kind(error);
  const bool lock = is_about_lock(error);
  return {std::string(doing) + ": " + error.text,
          std::string(lock                         ? kLock
                      : kind == FaultKind::unknown ? kOurSql
                                                   : runbook(kind)),
          lock};
}

void Standstill::begin(TimePoint now) {
  role_ = Role::none;
  well_at_ = now;
  hindrance_.reset();
}

void Standstill::hindered(Hindrance hindrance) {
  role_ = Role::none;
  hindrance_ = std::move(hindrance);
}

void Standstill::stands_by(TimePoint now) {
  role_ = Role::stands_by;
  well_at_ = now;
  hindrance_.reset();
}

void Standstill::found_none(TimePoint now) { carried(now); }

void Standstill::carried(TimePoint now) {
  role_ = Role::leads;
  well_at_ = now;
  hindrance_.reset();
}

std::optional<Hindrance> Standstill::look(const Backlog& backlog, const std::optional<Hindrance>& holder,
                                          TimePoint now) const {
  if (hindrance_ && hindrance_->told && !holder) return std::nullopt;
  const auto standing = backlog.standing(now);
  if (standing && *standing >= (role_ == Role::stands_by ? 2 * patience_ : patience_)) {
    auto why = cause(holder);
    return Hindrance{"events wait and none is published: " + why.text, std::move(why.remedy)};
  }
  if (backlog.known(now) == nullptr && now - well_at_ >= patience_) {
    auto why = cause(holder);
    return Hindrance{"no event is published, and how many wait is not known: " + why.text, std::move(why.remedy)};
  }
  return std::nullopt;
}

Hindrance Standstill::cause(const std::optional<Hindrance>& holder) const {
  if (hindrance_) {
    if (!holder) return *hindrance_;
    return {hindrance_->text + "; " + holder->text, holder->remedy};
  }
  switch (role_) {
    case Role::stands_by:
      return {"another instance has the lease and does not move",
              "Look at the alarms of the instance that leads, and "
              "whether it still runs and is not paused."};
    case Role::leads:
      return {"reading the outbox finds none of them", std::string(kOurSql)};
    case Role::none:
      break;
  }
  return {"the relay has not come to its work", "Read the log from the relay's start on; report it if that is silent."};
}

}  // namespace ratchet::kafka
