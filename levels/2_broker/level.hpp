// Level 2: the producer is usable (metadata with leaders for every required topic) and the relay is eligible.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "levels/2_broker/producer.hpp"
#include "levels/2_broker/relay.hpp"

namespace ratchet::kafka {

// The largest record each topic takes, learnt on raise; read by event routes. Any thread.
class RecordLimits {
 public:
  void set(const std::map<std::string, std::size_t>& limits, std::size_t otherwise);
  std::size_t of(std::string_view topic) const;  // bytes of key, value and headers together

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::size_t, std::less<>> limits_;
  std::size_t otherwise_ = 1'000'000;
};

class BrokerLevel final : public Level {
 public:
  // `topics`: those the routes name. `flush`: how long an orderly drain waits for what is in flight.
  BrokerLevel(const BrokerSettings& settings, std::vector<std::string> topics, milliseconds flush, Relay& relay,
              RecordLimits& limits, Producer::Parts parts);
  std::string_view name() const noexcept override { return "broker"; }
  Duration raise_patience() const noexcept override;
  ProbePlan probe_plan() const noexcept override;
  Result<std::unique_ptr<HeldLevel>> raise(Patience& patience, Incarnation incarnation) override;

 private:
  Result<std::unique_ptr<Producer>> make(const BrokerSettings& settings, Patience& patience, Incarnation incarnation,
                                         const Producer::Parts& parts, const MinReplicas& replicas);
  void learn_limits(const std::map<std::string, TopicLimits>& told);

  BrokerSettings settings_;
  std::vector<std::string> topics_;
  milliseconds flush_;
  Relay& relay_;
  RecordLimits& limits_;
  Producer::Parts parts_;
  bool said_unknown_limits_ = false;
};

}  // namespace ratchet::kafka
