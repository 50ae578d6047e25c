// Level 3: the port is open and load balancers have been told (here: by the health answer they poll).
#pragma once

#include <atomic>
#include <functional>

#include "levels/3_service/drain.hpp"
#include "levels/3_service/error_budget.hpp"
#include "levels/3_service/probe_secret.hpp"
#include "levels/3_service/registrars.hpp"
#include "levels/3_service/server.hpp"
#include "levels/core/level.hpp"

namespace ratchet::service {

class ServiceLevel final : public Level {
 public:
  // `can_commit`: false while the database is gone; any thread.
  ServiceLevel(Server& server, Health& health, const DrainSettings& drain, std::function<bool()> can_commit,
               const TimeSource& time, Log& log, Registrars* registrars = nullptr, ProbeSecret* probe_secret = nullptr);
  std::string_view name() const noexcept override { return "service"; }
  std::uint64_t cut_requests() const noexcept { return cut_.load(); }  // by all ways down so far; any thread
  Duration raise_patience() const noexcept override;
  ProbePlan probe_plan() const noexcept override;

  // Binds; a taken port is a failed raise. Held: the reactor's loop turns, and the error budget is not spent: what it
  // asks for (workers and listener anew) is done by the probe.
  Result<std::unique_ptr<HeldLevel>> raise(Patience& patience, Incarnation incarnation) override;

 private:
  Server& server_;
  Health& health_;
  const DrainSettings drain_;
  const Waiters waiters_;
  std::atomic<std::uint64_t> cut_{0};
  const TimeSource& time_;
  Log& log_;
  Registrars* const registrars_;     // null: there are none
  ProbeSecret* const probe_secret_;  // null: none is wanted
};

}  // namespace ratchet::service
