// The relay: carries committed events from the outbox to Kafka, in order, at least once. One per outbox across all
// instances, by a lease in the database (10 s, beat every 3 s, fenced by epoch); the others stand by. It reads
// pages by snapshot diff, produces them in the order of seq, waits for every acknowledgement of a page, and only
// then moves the cursor. Adaptive polling 5..100 ms, woken at once by this process's own commits.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/1_database/outbox.hpp"
#include "levels/1_database/pool.hpp"
#include "levels/2_broker/producer.hpp"

namespace ratchet::kafka {

// How often and how long. What is here by default is what is measured and shipped; tests make it smaller.
struct RelayTuning {
  Duration ttl = std::chrono::seconds(10);               // of the lease
  Duration beat = std::chrono::seconds(3);               // renews it
  Duration save = std::chrono::milliseconds(100);        // the cursor, at most this often
  Duration poll_least = std::chrono::milliseconds(5);    // after a page; also the least time between two small pages
  Duration gather = std::chrono::milliseconds(6);        // least time between two pages of `many` rows or more
  Duration gather_busy = std::chrono::milliseconds(12);  // the same from `busy` rows a second on
  int busy = 18'000;
  int many = 40;  // a stream, no trickle: the broker pays by request, not by record
  Duration poll_most = std::chrono::milliseconds(100);  // after many empty ones
  Duration standby = std::chrono::seconds(1);           // asks for the lease after one to two of these
  Duration unacknowledged = std::chrono::seconds(10);   // the oldest record: then the broker is lost
  Duration reclaim = std::chrono::seconds(2);
  Duration rotate = std::chrono::seconds(60);  // the idempotency ring
  Duration stats = std::chrono::seconds(1);    // a look at what waits
  Duration alarm = std::chrono::seconds(10);   // without progress, or without a look
  Duration blind = std::chrono::seconds(60);   // without a look: the outbox counts as over its budget
  int page = 1000;                             // rows; at most Window::kMost
};

class Relay {
 public:
  struct Parts {
    db::Pool& pool;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    AlarmBoard& alarms;
    std::string owner;  // instance + random boot id
    OutboxSettings budget;
    RelayTuning tuning = {};
  };
  explicit Relay(Parts parts);
  ~Relay();

  // The producer must live until stop() has returned. Not while started. A Fault: no thread; nothing was started.
  Result<Nothing> start(Producer& producer, Incarnation incarnation, FaultSink& faults);
  // The same without Kafka: neither asks for the lease nor reads, only keeps `behind` and the gauges true.
  Result<Nothing> measure(Incarnation incarnation, FaultSink& faults);
  // asked: ends its page, saves the cursor, releases the lease. fault: takes back what is in flight, waits for no
  // acknowledgement; releases the lease if the database answers within patience. Idempotent.
  void stop(Patience& patience, Leave leave);
  void wake() noexcept;              // any thread: something was committed
  void pause(bool paused) noexcept;  // operator; alarmed. Outlives stop and start

  const std::string& pool() const noexcept;  // the outbox is there
  bool leads() const noexcept;
  bool paused() const noexcept;
  // Unpublished age, rows or bytes are over the budget, or not known for too long: event routes answer 503. Any thread.
  bool behind() const noexcept;
  // Nothing is published, or how much waits is not known: one line. Any thread.
  std::optional<std::string> trouble() const;

 private:
  class Inside;
  friend class Session;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::kafka
