// Level 2 while it is held: one producer and the relay on it. Two ways to take a loss:
//
//   fall   what the probe, the producer or the relay tells goes to the ladder, which takes the level down.
//   ride   the level stays held without Kafka. The producer is thrown away, the relay lets go of its lease and only
//          measures the outbox, and a new producer is tried from within the probes: one attempt for 10 s, then a rest
//          (backoff), with everything read anew (secrets, names). Once one sees a leader for every topic, the relay
//          starts on it from the cursor in the database. The outbox over its budget is the fault that `fall` would
//          have been at once.
//
// A second opinion. With several brokers, one that is frozen still looks connected, and librdkafka asks the one it
// asked last: a miss is therefore followed by a question over a fresh connection, and only if that fails, too, it
// counts.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "levels/2_broker/producer.hpp"
#include "levels/2_broker/relay.hpp"
#include "levels/core/backoff.hpp"

namespace ratchet::kafka {

class HeldBroker final : public HeldLevel, public FaultSink {
 public:
  struct Parts {
    const std::vector<std::string>& topics;
    milliseconds flush;
    OnLoss on_loss;
    Relay& relay;
    Producer::Parts producer;  // its `faults` are where this level's faults go
  };
  HeldBroker(Parts parts, Incarnation incarnation);
  ~HeldBroker() override;
  HeldBroker(const HeldBroker&) = delete;
  HeldBroker& operator=(const HeldBroker&) = delete;

  // For making producers: what they tell comes here.
  Producer::Parts ear();
  // Once: `settings` are those the producer was made with. A Fault: the relay was not started.
  Result<Nothing> begin(const BrokerSettings& settings, std::unique_ptr<Producer> producer, MinReplicas replicas);

  std::optional<Fault> probe(Patience& patience) override;
  void drain(Patience& patience, Leave leave) override;
  std::optional<std::string> degraded() const override;
  void on_doubt(const std::function<void()>& probe_soon) override;

  void report(const Fault& fault) noexcept override;  // the producer's and the relay's threads

 private:
  struct Away {
    Fault why;  // of the loss, then of the latest attempt
    TimePoint next_try;
    TimePoint attempt_end;
  };

  std::optional<Fault> ask(Patience& patience);
  std::optional<Fault> ride(Patience& patience);
  std::optional<Fault> let_go(Fault why, Patience& patience);
  std::optional<Fault> look_for_it(Patience& patience);
  std::optional<Fault> come_back(Patience& patience);
  void attempt_failed(const Fault& why);
  void doubt();
  std::optional<Fault> take_lost();
  std::string alarm_id() const;
  void alarm_away(const Fault& why);
  // The parts of a producer that tells others than `parts_` say.
  Producer::Parts telling(FaultSink& faults, std::function<void()> on_doubt) const;
  double chance();
  TimePoint now() const { return parts_.producer.time.now(); }

  Parts parts_;
  const Incarnation incarnation_;
  BrokerSettings settings_;
  MinReplicas replicas_;
  std::unique_ptr<Producer> producer_;  // while away: the one that is tried, if any
  bool missed_ = false;
  TimePoint whole_since_{};
  Backoff backoff_;
  std::minstd_rand random_;

  mutable std::mutex mutex_;
  std::function<void()> probe_soon_;  // with mutex_
  std::optional<Fault> lost_;         // with mutex_; riding: what was reported and not yet looked at
  std::optional<Away> away_;          // with mutex_; changed by the worker only
};

}  // namespace ratchet::kafka
