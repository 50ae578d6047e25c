// The relay: carries committed events from the outbox to Kafka, in order, at least once. One per outbox across all
// instances, by a lease in the database (10 s, beat every 3 s, fenced by epoch); the others stand by. It reads
// pages by snapshot diff, produces them in the order of seq, waits for every acknowledgement of a page, and only
// then moves the cursor. Adaptive polling 5..100 ms, woken at once by this process's own commits.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/1_database/outbox.hpp"
#include "levels/1_database/pool.hpp"
#include "levels/2_broker/producer.hpp"

namespace ratchet::kafka {

class Relay {
 public:
  struct Parts {
    db::Pool& pool;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    AlarmBoard& alarms;
    FaultSink& faults;
    std::string owner;            // instance + random boot id
    OutboxSettings budget;
  };
  explicit Relay(Parts parts);
  ~Relay();

  void start(Producer& producer, Incarnation incarnation);
  void stop(Patience& patience, Leave leave);   // asked: ends its page, releases the lease
  void wake() noexcept;                         // any thread: something was committed
  void pause(bool paused) noexcept;             // operator; alarmed

  bool leads() const noexcept;
  bool paused() const noexcept;
  // Unpublished age, rows or bytes are over the budget: event routes answer 503. Any thread.
  bool behind() const noexcept;

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::kafka
