// Looks at an outbox every second, whatever its relay does: how much waits, whether the budget is spent, whether any of
// it goes. Sets the gauges and the alarms of that:
//
//   relay.stuck.POOL       events wait and none is published, or that cannot be known
//   outbox.unknown.POOL    how much waits cannot be measured
//   outbox.behind.POOL     the budget is spent, or counts as spent
//   dead-letters.POOL      some events were given up
//
// On a thread of its own, and on a connection lent for the moment, so that a relay that hangs or has no lease hides
// nothing. Only where the pool has none to spare the relay lends its own, between two pages.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/1_database/pool.hpp"
#include "levels/2_broker/backlog.hpp"
#include "levels/2_broker/standstill.hpp"

namespace ratchet::kafka {

// The pool lends none in time.
Hindrance no_connection(const db::Pool& pool);

class OutboxWatch {
 public:
  struct Times {
    Duration look;   // so often
    Duration alarm;  // without progress, or without a look
    Duration blind;  // without a look: the budget counts as spent (see Backlog)
  };
  struct Parts {
    db::Pool& pool;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    AlarmBoard& alarms;
    OutboxSettings budget;
    Times times;
  };
  explicit OutboxWatch(Parts parts);
  ~OutboxWatch();
  OutboxWatch(const OutboxWatch&) = delete;
  OutboxWatch& operator=(const OutboxWatch&) = delete;

  // `publishes`: a relay is to be judged, too. Why not: no thread. Not while started.
  std::optional<std::string> start(bool publishes);
  void stop();  // idempotent; cuts a look that is under way

  void pause(bool paused) noexcept;  // standing still is what an operator wants. Any thread
  // Event routes answer 503. Stays what it was while stopped. Any thread.
  bool behind() const noexcept { return behind_.load(std::memory_order_acquire); }
  std::optional<std::string> trouble() const;  // one line, while something is alarmed. Any thread

  // What the relay's thread tells.
  void works_on(const db::Connection* connection);  // null: it has none
  bool wants_look() const noexcept { return wants_look_.load(std::memory_order_acquire); }
  void looked(const Result<db::OutboxStats, db::SqlError>& stats, Duration took);  // as it was asked to
  void look_soon();
  void hindered(Hindrance hindrance);
  void stands_by();
  void found_none();
  void carried();
  void buried(std::string why);  // one event, and why; for the alarm

 private:
  using Lock = std::unique_lock<std::mutex>;
  void run();
  void look();
  void look(db::Lease& lease);
  std::optional<Hindrance> find_holder(db::Lease& lease);
  void note(const Result<db::OutboxStats, db::SqlError>& stats, Duration took);  // with mutex_
  void not_lent(db::LeaseError error);
  void judge();
  void show(const db::OutboxStats* known);
  void set_or_clear(std::string_view kind, const std::optional<Hindrance>& alarm);
  TimePoint now() const noexcept { return parts_.time.now(); }

  const Parts parts_;
  std::thread thread_;
  std::atomic<bool> behind_{false}, wants_look_{false};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All of these with mutex_.
  bool going_ = false, publishes_ = false, paused_ = false, woken_ = false;
  Backlog backlog_;
  Standstill standstill_;
  TimePoint look_at_{};
  int backend_ = 0;                      // of the relay's connection; 0: it has none
  db::Connection* looking_ = nullptr;    // for stop() to cut
  std::optional<Hindrance> holder_;      // of the lock the relay waits for
  std::optional<Hindrance> not_looked_;  // why the latest look failed
  std::string last_buried_;
  std::optional<std::string> trouble_;

  MeasuredGauge unpublished_, oldest_, dead_;
};

}  // namespace ratchet::kafka
