// What the broker's configuration says of the topics that the routes name (DescribeConfigs), and who must know it: the
// port holds events against the record limits, the producer makes no larger batches, the probe counts in-sync replicas.
// An operator may change all of it at any time, so it is read at the raise, then every minute, and at once when Kafka
// has refused a record for its size. What the broker once told stands until it tells something else.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "levels/2_broker/producer.hpp"

namespace ratchet::kafka {

// The largest record each topic takes; read by event routes. Any thread.
class RecordLimits {
 public:
  void set(const std::map<std::string, std::size_t>& limits, std::size_t otherwise);
  std::size_t of(std::string_view topic) const;  // bytes of key, value and headers together

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::size_t, std::less<>> limits_;
  std::size_t otherwise_ = 1'000'000;
};

// The worker's thread only.
class TopicFacts {
 public:
  // `settings`: where the broker does not tell, its max_record_bytes counts.
  TopicFacts(const BrokerSettings& settings, std::vector<std::string> topics, RecordLimits& limits,
             const TimeSource& time, Log& log);

  const std::vector<std::string>& topics() const noexcept { return topics_; }
  const MinReplicas& replicas() const noexcept { return replicas_; }
  bool due(const Producer& producer) const;  // of a producer that is asked from now on
  // Asks, for at most two seconds, and passes on what is known then. Without an answer what was known stands.
  void read(Producer& producer, Patience& patience);

 private:
  void learn(const std::map<std::string, TopicLimits>& told);
  void pass_on(Producer& producer);

  const std::vector<std::string> topics_;
  const std::size_t otherwise_;
  const bool own_batches_;  // the user has set batch.size
  RecordLimits& limits_;
  const TimeSource& time_;
  Log& log_;
  std::map<std::string, TopicLimits> known_;
  MinReplicas replicas_;
  TimePoint next_{};
  bool said_unknown_ = false;
};

}  // namespace ratchet::kafka
