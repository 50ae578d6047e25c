// The Kafka producer (librdkafka's C API behind RAII; the only file that includes it). Idempotent, acks=all,
// murmur2_random, never creates topics, never holds the only copy of anything.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/core/level.hpp"

namespace ratchet::kafka {

struct Record {
  std::string_view topic;
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::vector<std::pair<std::string_view, std::string_view>> headers;
};

struct Delivery {
  std::uint64_t token;
  int code;           // librdkafka's error code, 0: acknowledged by all in-sync replicas
  std::string text;   // "Broker: Message size too large"
};

// Called on the producer's own poll thread.
class DeliverySink {
 public:
  virtual ~DeliverySink() = default;
  virtual void delivered(const Delivery& delivery) = 0;
};

class Reaper;  // destroys old producers on a bounded thread of its own: it may take 19 s with a dead resolver

class Producer {
 public:
  struct Parts {
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    AlarmBoard& alarms;
    FaultSink& faults;
    std::shared_ptr<Reaper> reaper;
  };
  static Result<std::unique_ptr<Producer>> create(const BrokerSettings& settings, Incarnation incarnation, Parts parts);
  ~Producer();  // purge, then handed to the reaper

  void set_sink(DeliverySink* sink) noexcept;  // before the first produce

  // Copies the record. False: the local queue is full, try again after some deliveries. Any thread.
  bool produce(const Record& record, std::uint64_t token);
  // Waits until nothing is in flight. False: patience ended first.
  bool flush(Patience& patience);
  void purge();   // everything not acknowledged comes back as a failed delivery
  std::size_t in_flight() const noexcept;
  std::optional<TimePoint> oldest_in_flight() const noexcept;

  // Metadata with leaders for each topic; empty: all well. Never creates a topic.
  std::optional<Fault> check_topics(const std::vector<std::string>& topics, Patience& patience);
  // max.message.bytes by topic (DescribeConfigs); empty where the broker does not tell.
  std::map<std::string, std::size_t> record_limits(const std::vector<std::string>& topics, Patience& patience);

 private:
  class Inside;
  explicit Producer(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

std::shared_ptr<Reaper> make_reaper(Log& log, AlarmBoard& alarms);

}  // namespace ratchet::kafka
