// The service port: a reactor whose requests go to health, to the routes, or to a problem. Commit outcomes come
// back here and become answers.
#pragma once

#include <functional>
#include <memory>

#include "config/settings.hpp"
#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/health.hpp"
#include "levels/0_baseline/reactor.hpp"
#include "levels/1_database/group_commit.hpp"
#include "levels/2_broker/level.hpp"
#include "levels/3_service/kept_port.hpp"
#include "levels/3_service/routes.hpp"
#include "levels/core/random.hpp"

namespace ratchet::service {

class Server final : public db::CommitSink {
 public:
  struct Parts {
    const Settings& settings;
    Health& health;
    std::vector<Outbox> outboxes;  // at least one
    const kafka::RecordLimits& record_limits;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    std::function<double()> chance;  // uniform in [0, 1)
    const RandomSource& random;      // of ids, and of the keys of hashes
    AlarmBoard& alarms;
    KeptPort* port = nullptr;  // null: the socket is the reactor's alone
  };
  // To be given to all `commits` as their sink. They must have been stopped before this is destroyed.
  explicit Server(Parts parts);
  ~Server() override;

  // One worker thread at a time.
  Result<Nothing> open();  // level 3's raise: binds, listens, serves
  void close();            // who still waits is told what is known; idempotent

  // Its own errors have used up what closing connections and resting routes can do: reset() is due. Any thread.
  bool wants_reset() const noexcept;
  // Workers and listener anew, as close() and open(), with a new error budget. Same thread as those.
  Result<Nothing> reset();

  // See kill_switch.hpp; also while closed.
  bool switch_route(std::string_view path, bool on, const std::string& why);

  // The fall by fault: from now on events are refused, and those not yet begun to be committed are withdrawn and
  // answered nothing-stored. Returns at once; nothing while closed. Same thread as open and close.
  void give_up_queued();
  // The same, and those being committed are answered outcome-unknown: at the end of all patience, before cutting.
  void give_up_all();

  // "/events/orders 2, other 1": requests cut since the port was opened, by route; empty: none. Any thread.
  std::string cut_by_route();

  // Any thread: requests read since the port was opened; and whether its loop has turned lately (true while closed).
  std::uint64_t requests();
  bool alive(TimePoint now);

  KeptPort* port() noexcept;           // null: nobody else holds the socket
  http::Reactor* reactor() noexcept;  // null while closed. For whoever calls open and close

  // Any thread, at any time, also while closed: then nobody waits any more and the outcomes are dropped.
  void finished(std::unique_ptr<db::FinishedBatch> batch) override;

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::service
