// The inside of Producer. Included by producer.cpp and producer_probe.cpp only: the two files that know librdkafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "levels/2_broker/connection_reason.hpp"
#include "levels/2_broker/in_flight.hpp"
#include "levels/2_broker/producer.hpp"

namespace ratchet::kafka {

template <auto destroy>
struct With {
  template <class T>
  void operator()(T* held) const noexcept {
    destroy(held);
  }
};
using Conf = std::unique_ptr<rd_kafka_conf_t, With<rd_kafka_conf_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, With<rd_kafka_queue_destroy>>;
using Offsets = std::unique_ptr<rd_kafka_topic_partition_list_t, With<rd_kafka_topic_partition_list_destroy>>;
using Topic = std::unique_ptr<rd_kafka_topic_t, With<rd_kafka_topic_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, With<rd_kafka_event_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, With<rd_kafka_metadata_destroy>>;
using Error = std::unique_ptr<rd_kafka_error_t, With<rd_kafka_error_destroy>>;
using Options = std::unique_ptr<rd_kafka_AdminOptions_t, With<rd_kafka_AdminOptions_destroy>>;
using Resource = std::unique_ptr<rd_kafka_ConfigResource_t, With<rd_kafka_ConfigResource_destroy>>;

class Producer::Inside {
 public:
  static constexpr int kLevel = 2;

  Inside(Incarnation incarnation, Parts parts)
      : incarnation_(incarnation),
        parts_(std::move(parts)),
        unknown_codes_(parts_.metrics.counter("ratchet_broker_unknown_codes_total",
                                              "Errors of Kafka with a code we do not know")) {}
  ~Inside() {
    if (poller_.joinable()) {
      stopping_ = true;
      rd_kafka_queue_yield(main_.get());
      poller_.join();
    }
    if (kafka_ == nullptr) return;
    // The handle outlives this object until the reaper has destroyed it; with the poller gone nothing calls back.
    rd_kafka_purge(kafka_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    topics_.clear();
    main_.reset();
    parts_.reaper->take([kafka = kafka_] { rd_kafka_destroy(kafka); });
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  std::optional<Fault> start(const BrokerSettings& settings);
  bool produce(const Record& record, std::uint64_t token);
  bool flush(Patience& patience);
  std::optional<Fault> check(const std::vector<std::string>& topics, Patience& patience, const MinReplicas& replicas,
                             bool leaders);
  std::optional<Fault> ask_leaders(Patience& patience);
  int known_brokers() const noexcept { return known_brokers_; }
  Result<std::map<std::string, TopicTrouble>> troubles(const std::vector<std::string>& topics);
  std::map<std::string, TopicLimits> topic_limits(const std::vector<std::string>& topics, Patience& patience);

  void set_sink(DeliverySink* sink) noexcept {
    std::lock_guard lock(sink_mutex_);
    sink_ = sink;
  }
  void purge() noexcept {
    rd_kafka_purge(kafka_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
  }
  void send() noexcept {
    if (!sending_.exchange(true)) sent_at_ = parts_.time.now().time_since_epoch().count();
    rd_kafka_queue_yield(main_.get());
  }
  void resume() noexcept {
    std::unique_lock lock(mutex_);
    sent_.wait(lock, [&] { return !flushing_; });  // it ends when nothing is in flight, at the latest after kSendMs
    sending_ = false;
    refused_ = false;
    lock.unlock();
    weigh_wave();
  }
  bool fits(std::size_t records, std::size_t weight) const noexcept {
    return records < batch_records_ && weight <= std::min(most_bytes_.load(), granted_.load());
  }
  std::size_t granted() const noexcept { return granted_; }
  bool acknowledges(Patience& patience);
  std::optional<std::string> overasked() const {
    std::lock_guard lock(mutex_);
    return overasked_;
  }
  template <class Ask>
  auto ask_quota(Ask ask) const {
    std::lock_guard lock(quota_mutex_);
    return ask(quota_, parts_.time.now());
  }
  void bound_batches(std::size_t bytes) noexcept { most_bytes_ = std::min(batch_bytes_, bytes); }
  bool refused_a_size() const noexcept { return refused_a_size_; }
  void forget_refused_size() noexcept { refused_a_size_ = false; }
  const InFlight& in_flight() const noexcept { return in_flight_; }
  TimePoint now() const noexcept { return parts_.time.now(); }
  bool requires_topic(std::string_view topic) const {
    std::lock_guard lock(mutex_);
    for (const auto& name : required_) {
      if (name == topic) return true;
    }
    return false;
  }

 private:
  // A broker that leads some partition of a required topic.
  struct Leader {
    int id;
    std::string advertised;  // "kafka-7:9092"
    std::string topic;       // one that it leads, and the partition
    int partition;
  };
  struct NodeReason {
    ConnectionReason why;
    TimePoint at;
  };

  Fault fault(FaultKind kind, std::string text) const {
    return {kLevel, incarnation_, kind, "broker: " + std::move(text), parts_.time.now()};
  }
  std::optional<Fault> set_all(rd_kafka_conf_t* conf, const BrokerSettings& settings);
  std::optional<Fault> set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value);
  void poll();
  void flush_some();
  std::size_t configured(const rd_kafka_conf_t* conf, const char* name) const;
  rd_kafka_topic_t* topic(std::string_view name);  // with mutex_ held
  std::optional<Fault> look_at(const std::vector<std::string>& topics, const rd_kafka_metadata_t& metadata,
                               const MinReplicas& replicas);
  std::optional<Fault> look_at(const rd_kafka_metadata_topic_t& topic, const MinReplicas& replicas);
  void learn_leaders(const std::vector<std::string>& topics, const rd_kafka_metadata_t& metadata);
  int ask(const std::vector<Leader>& leaders, Duration most);
  std::optional<NodeReason> reason_of(const Leader& leader) const;
  Fault silent(const Leader& leader, int code, Duration waited) const;
  std::optional<Fault> ask_once(const std::vector<std::string>& topics, Duration most, const MinReplicas& replicas);
  std::optional<Fault> fatal() const;
  void note(int code, std::string_view text);
  void pause(TimePoint until);
  void weigh_wave();
  void on_throttle(int node, milliseconds wait);
  void deliver(void* opaque, int code, std::string_view text);
  void on_error(int code, std::string_view text);

  static void delivery_callback(rd_kafka_t*, const rd_kafka_message_t* message, void* self);
  static void error_callback(rd_kafka_t*, int code, const char* text, void* self);
  static void throttle_callback(rd_kafka_t*, const char* name, std::int32_t node, int ms, void* self);
  static void log_callback(const rd_kafka_t* kafka, int level, const char* facility, const char* text);

  const Incarnation incarnation_;
  Parts parts_;
  rd_kafka_t* kafka_ = nullptr;
  Queue main_;
  std::thread poller_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> sending_{false};  // from send() to resume(): what is produced leaves at once
  std::atomic<int> known_brokers_{0};
  Counter unknown_codes_;
  InFlight in_flight_;

  std::mutex sink_mutex_;  // held while the sink is called, so that set_sink(nullptr) ends that
  DeliverySink* sink_ = nullptr;
  std::condition_variable all_home_;  // with sink_mutex_: nothing is in flight
  bool acknowledged_ = false;         // with sink_mutex_: some record has been
  TimePoint home_at_{};               // with sink_mutex_: when nothing was in flight any more

  std::size_t batch_records_ = 0, batch_bytes_ = 0;  // of one batch; constant once started
  std::atomic<std::size_t> most_bytes_{0};           // of one batch, at present
  std::atomic<bool> refused_a_size_{false};
  std::atomic<std::size_t> wave_bytes_{0};  // produced since the wave began
  std::atomic<Duration::rep> sent_at_{0};   // of the wave
  std::atomic<std::size_t> granted_{Quota::kNoBound};
  mutable std::mutex quota_mutex_;
  Quota quota_;  // with quota_mutex_

  mutable std::mutex mutex_;
  bool flushing_ = false;
  std::condition_variable sent_;   // with mutex_: not flushing any more
  std::condition_variable never_;  // with mutex_: nobody notifies it
  std::map<std::string, Topic, std::less<>> topics_;
  std::vector<std::string> required_;
  bool refused_ = false;                    // until resume(): takes nothing, so that nothing overtakes what was refused
  std::optional<ConnectionReason> reason_;  // why the last connection failed; empty once one worked
  std::map<int, NodeReason> node_reasons_;  // the same by broker, of those whose id is known
  std::optional<std::string> overasked_;    // see Producer::overasked
  std::vector<Leader> leaders_;             // in the latest metadata, of the required topics; one entry each
};

}  // namespace ratchet::kafka
