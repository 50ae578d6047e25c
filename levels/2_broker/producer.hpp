// The Kafka producer (librdkafka's C API behind RAII; no other file knows it). Idempotent, acks=all,
// murmur2_random, never creates topics, never holds the only copy of anything.
//
// Order. The broker refuses whole batches, and librdkafka sends the next one meanwhile: what was refused and produced
// again would be overtaken. So records travel in waves: what is produced waits until `send`, a wave is at most one
// batch of each partition, and the next wave begins when everything is home. When a record is refused for good,
// whatever is produced from then on comes back as purged, until the caller says `resume` and produces again from the
// refused record on.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/settings.hpp"
#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/2_broker/quota.hpp"
#include "levels/2_broker/reaper.hpp"
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
  int code;          // librdkafka's error code, 0: acknowledged by all in-sync replicas
  std::string text;  // "Broker: Message size too large"
};

// What the broker's configuration says of a topic. 0: not told.
struct TopicLimits {
  std::size_t record_bytes = 0;  // the lesser of max.message.bytes and segment.bytes, of a whole batch
  int min_replicas = 0;          // min.insync.replicas
  bool operator==(const TopicLimits&) const = default;
};
using MinReplicas = std::map<std::string, int>;

// Why a topic takes no record. Empty `partitions`: none of them does.
struct TopicTrouble {
  int code = 0;      // librdkafka's
  std::string text;  // "partition 3 has no leader"
  std::set<int> partitions;
  int count = 0;      // of all its partitions
  bool mute = false;  // the broker sees nothing wrong with it, and yet it did not answer
  int partition_of(std::string_view key) const noexcept;
};

// Called on the producer's own poll thread, or from within produce() for a record that librdkafka refuses at once.
class DeliverySink {
 public:
  virtual ~DeliverySink() = default;
  virtual void delivered(const Delivery& delivery) = 0;
};

class Producer {
 public:
  struct Parts {
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    AlarmBoard& alarms;
    FaultSink& faults;
    std::shared_ptr<Reaper> reaper;
    std::string client_id = "ratchetd";  // "ratchetd-" + instance
    // Something looks wrong (all brokers down, a size refused), nothing is proven: whoever probes should do so now. The
    // poll thread.
    std::function<void()> doubt = {};
  };

  static constexpr std::uint64_t kTokens = std::uint64_t{1} << 48;  // a token is less than this

  // Connects to nothing yet. A Fault: a property librdkafka does not take, an unreadable secret, a full reaper.
  static Result<std::unique_ptr<Producer>> create(const BrokerSettings& settings, Incarnation incarnation, Parts parts);
  ~Producer();  // purge, then handed to the reaper. Nothing is called back any more once it has returned.

  // Before the first produce. With nullptr: afterwards nobody is called any more. Not from within delivered().
  void set_sink(DeliverySink* sink) noexcept;

  // Room for one more record in a wave of so many records that weigh so much (see `weight`): with it the wave is still
  // one batch of each partition, and no more than a quota grants in half a second.
  bool fits(std::size_t records, std::size_t weight) const noexcept;
  // From now on a batch holds at most so many bytes (never more than batch.size). Any thread.
  void bound_batches(std::size_t bytes) noexcept;
  static std::size_t weight(const Record& record) noexcept;  // bytes in a batch, rounded up

  // Copies the record. False: the local queue is full, send and try again after some deliveries. Any thread.
  bool produce(const Record& record, std::uint64_t token);
  void send() noexcept;  // what has been produced leaves now. Any thread
  // Sends, and waits until nothing is in flight. False: patience ended first.
  bool flush(Patience& patience);
  void resume() noexcept;  // before a wave, with nothing in flight: it waits for `send`; after a refusal, too
  void purge();            // everything not acknowledged comes back as a failed delivery
  std::size_t in_flight() const noexcept;
  // When the oldest record not yet acknowledged was produced, exact to 100 ms.
  std::optional<TimePoint> oldest_in_flight() const noexcept;

  // What a quota grants. Nothing should be produced before `quiet_until`: it would wait unread, and its age before that
  // time is no loss. While `deaf`, Kafka may be silent although all is well. Any thread.
  TimePoint quiet_until() const;
  bool deaf() const;
  std::optional<Quota::Said> quota() const;
  std::size_t granted() const;  // bytes of a wave

  // Kafka has acknowledged a record of this producer. False: patience ended first.
  bool acknowledges(Patience& patience);

  // Metadata with leaders for each topic; empty: all well. Never creates a topic. Tries again, a second at a time,
  // until patience ends, unless the answer is one that more tries do not change.
  // A partition with fewer in-sync replicas than `replicas` says for its topic takes no record of ours: a Fault, too.
  // Where it has fewer replicas at all, they need only all be in sync: Kafka from 3.7 on takes records then, before it
  // refuses them, and which it is shows when one is sent (see `overasked`).
  std::optional<Fault> check_topics(const std::vector<std::string>& topics, Patience& patience,
                                    const MinReplicas& replicas = {});
  // The same, and each partition's leader must have answered for itself: metadata comes from any broker and names
  // leaders that nobody here may be able to reach.
  std::optional<Fault> check_leaders(const std::vector<std::string>& topics, Patience& patience,
                                     const MinReplicas& replicas = {});
  // Asks the leaders that the latest check named, all at once, one question each; a refusal is an answer, too. A Fault
  // names one that is silent, its advertised address, and why its connection failed. Takes no longer than patience.
  std::optional<Fault> ask_leaders(Patience& patience);
  // In the latest check with `replicas`: a topic with fewer replicas than its min.insync.replicas, for people.
  std::optional<std::string> overasked() const;
  // In the latest metadata.
  int known_brokers() const noexcept;
  // Was this topic in the latest check_topics? Any thread.
  bool requires_topic(std::string_view topic) const;
  // Asked anew: which of these take no record, and why. A Fault: the broker does not answer within a second or two.
  Result<std::map<std::string, TopicTrouble>> troubles(const std::vector<std::string>& topics);
  // By topic (DescribeConfigs); empty where the broker does not tell.
  std::map<std::string, TopicLimits> topic_limits(const std::vector<std::string>& topics, Patience& patience);
  // Since it was forgotten, Kafka has refused a record or a batch for its size; `doubt` was called, too. Any thread.
  bool refused_a_size() const noexcept;
  void forget_refused_size() noexcept;

 private:
  class Inside;
  explicit Producer(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

std::shared_ptr<Reaper> make_reaper(Log& log, AlarmBoard& alarms);

}  // namespace ratchet::kafka
