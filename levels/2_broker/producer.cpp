#include "levels/2_broker/producer.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

#include "levels/0_baseline/thread.hpp"
#include "levels/2_broker/connection_reason.hpp"
#include "levels/2_broker/in_flight.hpp"
#include "levels/2_broker/producer_properties.hpp"
#include "levels/2_broker/verdict.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr int kLevel = 2;
constexpr auto kTry = 1000ms;     // one metadata request
constexpr auto kBetween = 100ms;  // least time between two of them
constexpr int kPollMs = 200;      // only as long as nothing wakes it
constexpr int kSendMs = 50;       // between two looks at whether to stop, while something is in flight
constexpr std::size_t kTopicHandles = 1024;

template <auto destroy>
struct With {
  template <class T>
  void operator()(T* held) const noexcept {
    destroy(held);
  }
};
using Conf = std::unique_ptr<rd_kafka_conf_t, With<rd_kafka_conf_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, With<rd_kafka_queue_destroy>>;
using Topic = std::unique_ptr<rd_kafka_topic_t, With<rd_kafka_topic_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, With<rd_kafka_event_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, With<rd_kafka_metadata_destroy>>;
using Error = std::unique_ptr<rd_kafka_error_t, With<rd_kafka_error_destroy>>;
using Options = std::unique_ptr<rd_kafka_AdminOptions_t, With<rd_kafka_AdminOptions_destroy>>;
using Resource = std::unique_ptr<rd_kafka_ConfigResource_t, With<rd_kafka_ConfigResource_destroy>>;

// librdkafka takes a null pointer for "none", so empty bytes need one that is not.
void put(rd_kafka_vu_t& slot, rd_kafka_vtype_t what, const std::optional<std::string_view>& bytes) noexcept {
  static constexpr char kEmpty = 0;
  slot.vtype = what;
  const char* at = !bytes ? nullptr : bytes->empty() ? &kEmpty : bytes->data();
  slot.u.mem.ptr = const_cast<char*>(at);  // copied, never written
  slot.u.mem.size = bytes ? bytes->size() : 0;
}

// Takes `headers` only when it succeeds.
rd_kafka_resp_err_t hand_over(rd_kafka_t* kafka, rd_kafka_topic_t* topic, const Record& record,
                              rd_kafka_headers_t* headers, void* opaque) {
  std::array<rd_kafka_vu_t, 6> arguments;
  arguments[0].vtype = RD_KAFKA_VTYPE_RKT;
  arguments[0].u.rkt = topic;
  arguments[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  arguments[1].u.i = RD_KAFKA_MSG_F_COPY;
  put(arguments[2], RD_KAFKA_VTYPE_VALUE, record.value);
  put(arguments[3], RD_KAFKA_VTYPE_KEY, record.key);
  arguments[4].vtype = RD_KAFKA_VTYPE_OPAQUE;
  arguments[4].u.ptr = opaque;
  arguments[5].vtype = RD_KAFKA_VTYPE_HEADERS;
  arguments[5].u.headers = headers;
  Error error(rd_kafka_produceva(kafka, arguments.data(), headers != nullptr ? 6 : 5));
  return error ? rd_kafka_error_code(error.get()) : RD_KAFKA_RESP_ERR_NO_ERROR;
}

// Answers that trying again within a few seconds does not change.
bool final_answer(FaultKind kind) noexcept {
  return kind == FaultKind::authentication || kind == FaultKind::authorisation || kind == FaultKind::tls ||
         kind == FaultKind::broker_fatal;
}

TopicLimits limits_in(const rd_kafka_ConfigResource_t& resource) {
  TopicLimits limits;
  std::size_t entries = 0;
  const auto** configs = rd_kafka_ConfigResource_configs(&resource, &entries);
  for (std::size_t e = 0; e < entries; ++e) {
    std::string_view name = rd_kafka_ConfigEntry_name(configs[e]);
    const char* value = rd_kafka_ConfigEntry_value(configs[e]);
    if (value == nullptr) continue;
    if (name == "max.message.bytes") limits.record_bytes = std::strtoul(value, nullptr, 10);
    if (name == "min.insync.replicas") limits.min_replicas = static_cast<int>(std::strtol(value, nullptr, 10));
  }
  return limits;
}

}  // namespace

class Producer::Inside {
 public:
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
  std::optional<Fault> check_topics(const std::vector<std::string>& topics, Patience& patience,
                                    const MinReplicas& replicas);
  int known_brokers() const noexcept { return known_brokers_; }
  std::map<std::string, TopicLimits> topic_limits(const std::vector<std::string>& topics, Patience& patience);

  void set_sink(DeliverySink* sink) noexcept {
    std::lock_guard lock(sink_mutex_);
    sink_ = sink;
  }
  void purge() noexcept {
    rd_kafka_purge(kafka_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
  }
  void send() noexcept {
    sending_ = true;
    rd_kafka_queue_yield(main_.get());
  }
  void resume() noexcept {
    std::unique_lock lock(mutex_);
    sent_.wait(lock, [&] { return !flushing_; });  // it ends when nothing is in flight, at the latest after kSendMs
    sending_ = false;
    refused_ = false;
  }
  bool fits(std::size_t records, std::size_t weight) const noexcept {
    return records < batch_records_ && weight <= batch_bytes_;
  }
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
  std::optional<Fault> ask_once(const std::vector<std::string>& topics, Duration most, const MinReplicas& replicas);
  std::optional<Fault> fatal() const;
  void note(int code, std::string_view text);
  void pause(TimePoint until);
  void deliver(void* opaque, int code, std::string_view text);
  void on_error(int code, std::string_view text);

  static void delivery_callback(rd_kafka_t*, const rd_kafka_message_t* message, void* self);
  static void error_callback(rd_kafka_t*, int code, const char* text, void* self);
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

  std::size_t batch_records_ = 0, batch_bytes_ = 0;  // of one batch; constant once started

  mutable std::mutex mutex_;
  bool flushing_ = false;
  std::condition_variable sent_;   // with mutex_: not flushing any more
  std::condition_variable never_;  // with mutex_: nobody notifies it
  std::map<std::string, Topic, std::less<>> topics_;
  std::vector<std::string> required_;
  bool refused_ = false;                    // until resume(): takes nothing, so that nothing overtakes what was refused
  std::optional<ConnectionReason> reason_;  // why the last connection failed; empty once one worked
};

std::optional<Fault> Producer::Inside::set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  std::array<char, 512> why{};
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why.data(), why.size()) == RD_KAFKA_CONF_OK) {
    return std::nullopt;
  }
  return fault(FaultKind::unknown, "property " + name + " is not taken: " + why.data());
}

std::optional<Fault> Producer::Inside::set_all(rd_kafka_conf_t* conf, const BrokerSettings& settings) {
  auto all = producer_properties(settings, parts_.client_id);
  if (!all) return fault(all.error().kind, all.error().text);
  for (const auto& [name, value] : *all) {
    if (auto wrong = set(conf, name, value)) return wrong;
  }
  return std::nullopt;
}

std::optional<Fault> Producer::Inside::start(const BrokerSettings& settings) {
  Conf conf(rd_kafka_conf_new());
  if (auto wrong = set_all(conf.get(), settings)) return wrong;
  rd_kafka_conf_set_opaque(conf.get(), this);
  rd_kafka_conf_set_dr_msg_cb(conf.get(), delivery_callback);
  rd_kafka_conf_set_error_cb(conf.get(), error_callback);
  rd_kafka_conf_set_log_cb(conf.get(), log_callback);
  batch_records_ = configured(conf.get(), "batch.num.messages");
  batch_bytes_ = configured(conf.get(), "batch.size");
  std::array<char, 512> why{};
  kafka_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), why.data(), why.size());
  if (kafka_ == nullptr) {  // it starts threads of its own
    bool no_thread = rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
    return fault(no_thread ? FaultKind::out_of_files : FaultKind::unknown, why.data());
  }
  static_cast<void>(conf.release());  // librdkafka's now
  main_.reset(rd_kafka_queue_get_main(kafka_));
  rd_kafka_set_log_queue(kafka_, nullptr);  // the main queue
  if (auto none = start_thread(poller_, "producer", [this] { poll(); })) {
    return fault(FaultKind::out_of_files, "no thread for the producer: " + *none);
  }
  return std::nullopt;
}

std::size_t Producer::Inside::configured(const rd_kafka_conf_t* conf, const char* name) const {
  std::array<char, 32> text{};
  std::size_t size = text.size();
  const auto found = rd_kafka_conf_get(conf, name, text.data(), &size);
  assert(found == RD_KAFKA_CONF_OK);
  return found == RD_KAFKA_CONF_OK ? std::strtoul(text.data(), nullptr, 10) : 0;
}

void Producer::Inside::poll() {
  while (!stopping_) {
    if (sending_ && in_flight_.count() > 0) {
      flush_some();
    } else {
      rd_kafka_queue_poll_callback(main_.get(), kPollMs);
    }
  }
}

// librdkafka ends a linger only for its flush, which also polls.
void Producer::Inside::flush_some() {
  {
    std::lock_guard lock(mutex_);
    if (!sending_) return;
    flushing_ = true;
  }
  rd_kafka_flush(kafka_, kSendMs);
  std::lock_guard lock(mutex_);
  flushing_ = false;
  sent_.notify_all();
}

rd_kafka_topic_t* Producer::Inside::topic(std::string_view name) {
  auto found = topics_.find(name);
  if (found != topics_.end()) return found->second.get();
  // Whoever writes SQL names topics; a bound keeps that from filling the memory. Records in flight keep theirs.
  if (topics_.size() >= kTopicHandles) topics_.clear();
  Topic made(rd_kafka_topic_new(kafka_, std::string(name).c_str(), nullptr));
  if (!made) return nullptr;
  return topics_.emplace(name, std::move(made)).first->second.get();
}

bool Producer::Inside::produce(const Record& record, std::uint64_t token) {
  assert(token < kTokens);
  auto stamp = in_flight_.begin(parts_.time.now());
  void* opaque = reinterpret_cast<void*>((token << 16) | stamp);  // NOLINT(performance-no-int-to-ptr): never a pointer
  rd_kafka_headers_t* headers = nullptr;
  if (!record.headers.empty()) {
    headers = rd_kafka_headers_new(record.headers.size());
    for (const auto& [name, value] : record.headers) {
      rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                          static_cast<ssize_t>(value.size()));
    }
  }
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__INVALID_ARG;
  {
    std::lock_guard lock(mutex_);
    if (refused_) {
      code = RD_KAFKA_RESP_ERR__PURGE_QUEUE;
    } else if (rd_kafka_topic_t* to = topic(record.topic)) {
      code = hand_over(kafka_, to, record, headers, opaque);
    }
  }
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
  if (headers != nullptr) rd_kafka_headers_destroy(headers);
  if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
    in_flight_.end(stamp);
    return false;
  }
  deliver(opaque, code, rd_kafka_err2str(code));
  return true;
}

void Producer::Inside::deliver(void* opaque, int code, std::string_view text) {
  auto packed = reinterpret_cast<std::uint64_t>(opaque);
  // First, before anybody is told: nothing of this wave that is produced later may overtake a record that was refused.
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
      code != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) {
    note(code, text);
    std::lock_guard lock(mutex_);
    refused_ = true;
  }
  std::lock_guard lock(sink_mutex_);
  bool last = in_flight_.end(static_cast<InFlight::Stamp>(packed & 0xffff));
  if (sink_ != nullptr) sink_->delivered({packed >> 16, code, std::string(text)});
  if (last) all_home_.notify_all();
}

void Producer::Inside::delivery_callback(rd_kafka_t*, const rd_kafka_message_t* message, void* self) {
  // Not rd_kafka_message_errstr: of a produced message it returns the payload, and that does not end with a NUL.
  std::string_view text = message->err != 0 ? rd_kafka_err2str(message->err) : "";
  static_cast<Inside*>(self)->deliver(message->_private, message->err, text);
}

void Producer::Inside::error_callback(rd_kafka_t*, int code, const char* text, void* self) {
  static_cast<Inside*>(self)->on_error(code, text);
}

// What no table of ours knows is treated by the stated defaults (verdict.hpp), counted and said.
void Producer::Inside::note(int code, std::string_view text) {
  if (is_known(code)) return;
  unknown_codes_.add();
  parts_.log.warning("broker: an error code we do not know",
                     {{"code", std::to_string(code)}, {"reason", std::string(text)}});
}

// Where a right or a password is the cause, a new producer would meet it again: that is what is to be said.
std::optional<Fault> Producer::Inside::fatal() const {
  std::array<char, 512> why{};
  int cause = rd_kafka_fatal_error(kafka_, why.data(), why.size());
  if (cause == RD_KAFKA_RESP_ERR_NO_ERROR) return std::nullopt;
  FaultKind kind = fault_kind(cause);
  if (kind != FaultKind::authorisation && kind != FaultKind::authentication) kind = FaultKind::broker_fatal;
  return fault(kind, std::string("fatal producer error: ") + why.data());
}

void Producer::Inside::on_error(int code, std::string_view text) {
  note(code, text);
  if (code == RD_KAFKA_RESP_ERR__FATAL) {
    Fault dead = fatal().value_or(fault(FaultKind::broker_fatal, "fatal producer error: " + std::string(text)));
    parts_.log.error("broker: fatal producer error", {{"reason", dead.text}});
    parts_.faults.report(dead);
    return;
  }
  parts_.log.info("broker: connection trouble", {{"reason", short_reason(text)}});
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {  // a sum of what was already said, and often too early
    if (parts_.doubt) parts_.doubt();
    return;
  }
  std::lock_guard lock(mutex_);
  reason_ = ConnectionReason{code, short_reason(text)};
}

void Producer::Inside::log_callback(const rd_kafka_t* kafka, int level, const char* facility, const char* text) {
  auto* self = static_cast<Inside*>(rd_kafka_opaque(kafka));
  // What is bad enough for people comes as an error, a failed probe or a failed delivery; this is the vendor's view.
  self->parts_.log.write(level <= 4 ? Severity::info : Severity::debug, "librdkafka",
                         {{"facility", facility}, {"text", text}});
}

bool Producer::Inside::flush(Patience& patience) {
  send();
  std::unique_lock lock(sink_mutex_);
  while (in_flight_.count() != 0) {
    TimePoint now = parts_.time.now();
    if (patience.over(now)) return false;
    all_home_.wait_until(lock, patience.nap(now));
  }
  return true;
}

std::optional<Fault> Producer::Inside::look_at(const std::vector<std::string>& topics,
                                               const rd_kafka_metadata_t& metadata, const MinReplicas& replicas) {
  std::map<std::string_view, const rd_kafka_metadata_topic_t*> told;
  for (int i = 0; i < metadata.topic_cnt; ++i)
    told[metadata.topics[i].topic] = &metadata.topics[i];
  for (const auto& name : topics) {
    auto found = told.find(name);
    int code = found == told.end() ? RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC : found->second->err;
    if (code != 0) {
      std::string_view text = rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(code));
      note(code, text);
      FaultKind kind = fault_kind(code);
      std::string what = kind == FaultKind::topic_missing   ? "does not exist: create it"
                         : kind == FaultKind::authorisation ? "not allowed: grant this user Describe and Write"
                                                            : std::string(text);
      return fault(kind, std::string("topic \"").append(name).append("\" ").append(what));
    }
    if (auto wrong = look_at(*found->second, replicas)) return wrong;
  }
  return std::nullopt;
}

std::optional<Fault> Producer::Inside::look_at(const rd_kafka_metadata_topic_t& topic, const MinReplicas& replicas) {
  auto least = replicas.find(topic.topic);
  for (int p = 0; p < topic.partition_cnt; ++p) {
    const rd_kafka_metadata_partition_t& partition = topic.partitions[p];
    std::string where = "topic \"" + std::string(topic.topic) + "\": partition " + std::to_string(partition.id);
    if (partition.leader < 0)
      return fault(FaultKind::not_enough_replicas, where + " has no leader: are its brokers up?");
    if (least == replicas.end() || partition.isr_cnt >= least->second) continue;
    return fault(FaultKind::not_enough_replicas,
                 where + " has " + std::to_string(partition.isr_cnt) + " of the " + std::to_string(least->second) +
                     " in-sync replicas it needs (min.insync.replicas): are all brokers up?");
  }
  return std::nullopt;
}

std::optional<Fault> Producer::Inside::ask_once(const std::vector<std::string>& topics, Duration most,
                                                const MinReplicas& replicas) {
  {
    std::lock_guard lock(mutex_);  // librdkafka asks for the topics it has handles of
    for (const auto& name : topics) {
      if (topic(name) == nullptr) return fault(FaultKind::topic_missing, "\"" + name + "\" cannot be a topic's name");
    }
  }
  auto ms = std::max(1, static_cast<int>(std::chrono::duration_cast<milliseconds>(most).count()));
  const rd_kafka_metadata_t* raw = nullptr;
  auto code = rd_kafka_metadata(kafka_, 0, nullptr, &raw, ms);
  Metadata metadata(raw);
  if (auto dead = fatal()) return dead;
  std::lock_guard lock(mutex_);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
    reason_.reset();
    known_brokers_ = metadata->broker_cnt;
    return look_at(topics, *metadata, replicas);
  }
  if (reason_) return fault(reason_->kind(), reason_->text);
  return fault(FaultKind::timed_out, "no answer within " + std::to_string(ms) + " ms");
}

std::optional<Fault> Producer::Inside::check_topics(const std::vector<std::string>& topics, Patience& patience,
                                                    const MinReplicas& replicas) {
  {
    std::lock_guard lock(mutex_);
    required_ = topics;
  }
  std::optional<Fault> last;
  for (;;) {
    TimePoint begun = parts_.time.now();
    last = ask_once(topics, std::min<Duration>(kTry, patience.left(begun)), replicas);
    if (!last || last->kind == FaultKind::topic_missing || final_answer(last->kind)) return last;
    if (patience.over(parts_.time.now())) return last;
    // An answer that came at once (no leader yet) is not asked for again at once.
    pause(std::min(begun + kBetween, patience.deadline()));
  }
}

void Producer::Inside::pause(TimePoint until) {
  std::unique_lock lock(mutex_);
  while (parts_.time.now() < until)
    never_.wait_until(lock, until);
}

std::map<std::string, TopicLimits> Producer::Inside::topic_limits(const std::vector<std::string>& topics,
                                                                  Patience& patience) {
  std::map<std::string, TopicLimits> limits;
  auto ms = static_cast<int>(
      std::chrono::duration_cast<milliseconds>(std::min<Duration>(kTry, patience.left(parts_.time.now()))).count());
  if (topics.empty() || ms <= 0) return limits;
  std::vector<Resource> owned;
  std::vector<rd_kafka_ConfigResource_t*> asked;
  for (const auto& name : topics) {
    owned.emplace_back(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name.c_str()));
    asked.push_back(owned.back().get());
  }
  Queue answers(rd_kafka_queue_new(kafka_));
  Options options(rd_kafka_AdminOptions_new(kafka_, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS));
  std::array<char, 256> why{};
  rd_kafka_AdminOptions_set_request_timeout(options.get(), ms, why.data(), why.size());
  rd_kafka_DescribeConfigs(kafka_, asked.data(), asked.size(), options.get(), answers.get());
  Event event(rd_kafka_queue_poll(answers.get(), ms));
  if (!event || rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    parts_.log.debug("broker: topics' limits not told",
                     {{"reason", event ? rd_kafka_event_error_string(event.get()) : "no answer"}});
    return limits;
  }
  std::size_t count = 0;
  const auto* result = rd_kafka_event_DescribeConfigs_result(event.get());
  const auto** resources = rd_kafka_DescribeConfigs_result_resources(result, &count);
  for (std::size_t i = 0; i < count; ++i) {
    if (rd_kafka_ConfigResource_error(resources[i]) != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    limits[rd_kafka_ConfigResource_name(resources[i])] = limits_in(*resources[i]);
  }
  return limits;
}

Result<std::unique_ptr<Producer>> Producer::create(const BrokerSettings& settings, Incarnation incarnation,
                                                   Parts parts) {
  if (parts.reaper->full()) {
    return Fault{kLevel, incarnation, FaultKind::timed_out,
                 "broker: " + std::to_string(Reaper::kMost) + " old producers are still being destroyed",
                 parts.time.now()};
  }
  if (auto none = parts.reaper->ready()) {
    return Fault{kLevel, incarnation, FaultKind::out_of_files, "broker: " + *std::move(none), parts.time.now()};
  }
  auto inside = std::make_unique<Inside>(incarnation, std::move(parts));
  if (auto wrong = inside->start(settings)) return *wrong;
  return std::unique_ptr<Producer>(new Producer(std::move(inside)));
}

Producer::Producer(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
Producer::~Producer() { inside_->set_sink(nullptr); }
void Producer::set_sink(DeliverySink* sink) noexcept { inside_->set_sink(sink); }
bool Producer::fits(std::size_t records, std::size_t weight) const noexcept { return inside_->fits(records, weight); }
std::size_t Producer::weight(const Record& record) noexcept {
  constexpr std::size_t kRecord = 64;  // of the record itself, and its share of the batch's frame
  constexpr std::size_t kHeader = 10;  // two lengths
  std::size_t bytes = kRecord + (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
  for (const auto& [name, value] : record.headers)
    bytes += kHeader + name.size() + value.size();
  return bytes;
}
void Producer::send() noexcept { inside_->send(); }
bool Producer::produce(const Record& record, std::uint64_t token) { return inside_->produce(record, token); }
bool Producer::flush(Patience& patience) { return inside_->flush(patience); }
void Producer::resume() noexcept { inside_->resume(); }
void Producer::purge() { inside_->purge(); }
std::size_t Producer::in_flight() const noexcept { return inside_->in_flight().count(); }
std::optional<TimePoint> Producer::oldest_in_flight() const noexcept {
  return inside_->in_flight().oldest(inside_->now());
}
std::optional<Fault> Producer::check_topics(const std::vector<std::string>& topics, Patience& patience,
                                            const MinReplicas& replicas) {
  return inside_->check_topics(topics, patience, replicas);
}
int Producer::known_brokers() const noexcept { return inside_->known_brokers(); }
bool Producer::requires_topic(std::string_view topic) const { return inside_->requires_topic(topic); }
std::map<std::string, TopicLimits> Producer::topic_limits(const std::vector<std::string>& topics, Patience& patience) {
  return inside_->topic_limits(topics, patience);
}

std::shared_ptr<Reaper> make_reaper(Log& log, AlarmBoard& alarms) { return std::make_shared<Reaper>(log, alarms); }

}  // namespace ratchet::kafka
