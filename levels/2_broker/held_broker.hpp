// Level 2 while it is held: one producer and the relay on it. Two ways to take a loss:
//
//   fall   what the probe, the producer or the relay tells goes to the ladder, which takes the level down.
//   ride   the level stays held without Kafka. The producer is thrown away, the relay lets go of its lease and only
//          measures the outbox, and a new producer is tried from within the probes: one attempt for 10 s, then a rest
//          (backoff), with everything read anew (secrets, names). Once one sees a leader for every topic, the relay
//          starts on it from the cursor in the database. The outbox over its budget is the fault that `fall` would
//          have been at once.
//
// A leader that is silent. Kafka itself takes up to 10 s to find another one for the partitions of a broker that died,
// so a leader that does not answer is a miss only when it has not for that long; until then it is an alarm and a word.
//
// A second opinion. With several brokers, one that is frozen still looks connected, and librdkafka asks the one it
// asked last: a miss is therefore followed by a question over a fresh connection, and only if that fails, too, it
// counts.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "levels/2_broker/producer.hpp"
#include "levels/2_broker/relay.hpp"
#include "levels/2_broker/topic_facts.hpp"
#include "levels/core/backoff.hpp"

namespace ratchet::kafka {

class HeldBroker final : public HeldLevel, public FaultSink {
 public:
  struct Parts {
    TopicFacts& facts;
    milliseconds flush;
    OnLoss on_loss;
    Relay& relay;
    Producer::Parts producer;     // its `faults` are where this level's faults go
    std::atomic<bool>& refusing;  // outlives it: Kafka took nothing, probably for want of replicas that cannot be there
  };
  HeldBroker(Parts parts, Incarnation incarnation);
  ~HeldBroker() override;
  HeldBroker(const HeldBroker&) = delete;
  HeldBroker& operator=(const HeldBroker&) = delete;

  // For making producers: what they tell comes here.
  Producer::Parts ear();
  // Once: `settings` are those the producer was made with. A Fault: the relay was not started.
  Result<Nothing> begin(const BrokerSettings& settings, std::unique_ptr<Producer> producer);

  // After begin: Kafka takes what the relay sends. Where this instance has nothing to send, that is well, too.
  std::optional<Fault> prove(Patience& patience);

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
  std::optional<Fault> ask_topics(Patience& patience);
  std::optional<Fault> ask_leaders(Patience& patience);
  void leaders_answer();
  void look_at_replicas();
  void look_at_quota();
  std::optional<Fault> ride(Patience& patience);
  std::optional<Fault> let_go(Fault why, Patience& patience);
  std::optional<Fault> look_for_it(Patience& patience);
  std::optional<Fault> come_back(Patience& patience);
  void attempt_failed(const Fault& why);
  void doubt();
  std::optional<Fault> take_lost();
  Fault with_cause(Fault fault) const;
  std::string alarm_id(std::string_view kind) const;
  void alarm_away(const Fault& why);
  // The parts of a producer that tells others than `parts_` say.
  Producer::Parts telling(FaultSink& faults, std::function<void()> on_doubt) const;
  double chance();
  const std::vector<std::string>& topics() const noexcept { return parts_.facts.topics(); }
  TimePoint now() const { return parts_.producer.time.now(); }

  Parts parts_;
  const Incarnation incarnation_;
  BrokerSettings settings_;
  std::unique_ptr<Producer> producer_;  // while away: the one that is tried, if any
  bool missed_ = false;                 // the latest metadata
  bool riding_miss_ = false;            // the latest probe, while nobody else counts
  std::optional<TimePoint> silent_since_;
  TimePoint whole_since_{}, answered_at_{}, throttle_said_{};
  Backoff backoff_;
  std::minstd_rand random_;

  mutable std::mutex mutex_;
  std::function<void()> probe_soon_;      // with mutex_
  std::optional<Fault> lost_;             // with mutex_; riding: what was reported and not yet looked at
  std::optional<Away> away_;              // with mutex_; changed by the worker only
  std::optional<Fault> silent_;           // with mutex_; a leader that does not answer
  std::optional<std::string> overasked_;  // with mutex_; more replicas in sync are asked for than there are
  std::optional<std::string> throttled_;  // with mutex_; a quota holds us back
};

}  // namespace ratchet::kafka
