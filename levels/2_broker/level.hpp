// Level 2: the producer is usable (metadata with leaders for every required topic) and the relay is eligible.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "levels/2_broker/producer.hpp"
#include "levels/2_broker/relay.hpp"
#include "levels/2_broker/topic_facts.hpp"

namespace ratchet::kafka {

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
  BrokerSettings settings_;
  milliseconds flush_;
  Relay& relay_;
  Producer::Parts parts_;
  TopicFacts facts_;
  std::atomic<bool> refusing_{false};  // until it is proven that Kafka takes records again
};

}  // namespace ratchet::kafka
