#include "levels/2_broker/producer.hpp"

#include <array>
#include <cassert>
#include <cstdlib>
#include <string>

#include "levels/0_baseline/thread.hpp"
#include "levels/2_broker/producer_inside.hpp"
#include "levels/2_broker/producer_properties.hpp"
#include "levels/2_broker/verdict.hpp"

namespace ratchet::kafka {
namespace {

constexpr int kPollMs = 200;  // only as long as nothing wakes it
constexpr int kSendMs = 50;   // between two looks at whether to stop, while something is in flight
constexpr std::size_t kTopicHandles = 1024;
constexpr std::size_t kNodes = 1024;  // brokers of a cluster whose trouble is remembered

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

}  // namespace

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
  rd_kafka_conf_set_throttle_cb(conf.get(), throttle_callback);
  rd_kafka_conf_set_log_cb(conf.get(), log_callback);
  batch_records_ = configured(conf.get(), "batch.num.messages");
  batch_bytes_ = configured(conf.get(), "batch.size");
  most_bytes_ = batch_bytes_;
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
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
    wave_bytes_.fetch_add(Producer::weight(record), std::memory_order_relaxed);
    return true;
  }
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
  if (is_about_size(code) && !refused_a_size_.exchange(true) && parts_.doubt) parts_.doubt();
  std::lock_guard lock(sink_mutex_);
  bool last = in_flight_.end(static_cast<InFlight::Stamp>(packed & 0xffff));
  if (sink_ != nullptr) sink_->delivered({packed >> 16, code, std::string(text)});
  const bool first = code == RD_KAFKA_RESP_ERR_NO_ERROR && !std::exchange(acknowledged_, true);
  if (last) home_at_ = parts_.time.now();
  if (first || last) all_home_.notify_all();
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
  const std::string reason = short_reason(text);
  parts_.log.info("broker: connection trouble", {{"reason", reason}});
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {  // a sum of what was already said, and often too early
    if (parts_.doubt) parts_.doubt();
    return;
  }
  std::lock_guard lock(mutex_);
  reason_ = ConnectionReason{code, reason};
  const Told told = read_reason(text);
  if (told.node) {
    std::lock_guard quota(quota_mutex_);
    quota_.connection_lost(*told.node);
  }
  if (told.node && (node_reasons_.size() < kNodes || node_reasons_.count(*told.node) != 0)) {
    node_reasons_[*told.node] = {{code, told.reason}, parts_.time.now()};
  }
}

// ---- quota -------------------------------------------------------------------------------------------------------

void Producer::Inside::throttle_callback(rd_kafka_t*, const char* /*name*/, std::int32_t node, int ms, void* self) {
  static_cast<Inside*>(self)->on_throttle(node, milliseconds(ms));
}

void Producer::Inside::on_throttle(int node, milliseconds wait) {
  parts_.log.debug("broker: held back by a quota",
                   {{"broker", std::to_string(node)}, {"ms", std::to_string(wait.count())}});
  std::lock_guard lock(quota_mutex_);
  quota_.held_back(node, wait, parts_.time.now());
}

void Producer::Inside::weigh_wave() {
  const std::size_t bytes = wave_bytes_.exchange(0);
  if (bytes == 0) return;
  TimePoint home;
  {
    std::lock_guard lock(sink_mutex_);
    home = home_at_;
  }
  const Duration took = home - TimePoint(Duration(sent_at_));
  std::lock_guard lock(quota_mutex_);
  quota_.wave(bytes, std::max(Duration::zero(), took), home);
  granted_ = quota_.most_bytes();
}

bool Producer::Inside::acknowledges(Patience& patience) {
  std::unique_lock lock(sink_mutex_);
  while (!acknowledged_) {
    const TimePoint now = parts_.time.now();
    if (patience.over(now)) return false;
    all_home_.wait_until(lock, patience.nap(now));
  }
  return true;
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

Result<std::unique_ptr<Producer>> Producer::create(const BrokerSettings& settings, Incarnation incarnation,
                                                   Parts parts) {
  if (parts.reaper->full()) {
    return Fault{Inside::kLevel, incarnation, FaultKind::timed_out,
                 "broker: " + std::to_string(Reaper::kMost) + " old producers are still being destroyed",
                 parts.time.now()};
  }
  if (auto none = parts.reaper->ready()) {
    return Fault{Inside::kLevel, incarnation, FaultKind::out_of_files, "broker: " + *std::move(none), parts.time.now()};
  }
  auto inside = std::make_unique<Inside>(incarnation, std::move(parts));
  if (auto wrong = inside->start(settings)) return *wrong;
  return std::unique_ptr<Producer>(new Producer(std::move(inside)));
}

Producer::Producer(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
Producer::~Producer() { inside_->set_sink(nullptr); }
void Producer::set_sink(DeliverySink* sink) noexcept { inside_->set_sink(sink); }
bool Producer::fits(std::size_t records, std::size_t weight) const noexcept { return inside_->fits(records, weight); }
void Producer::bound_batches(std::size_t bytes) noexcept { inside_->bound_batches(bytes); }
bool Producer::refused_a_size() const noexcept { return inside_->refused_a_size(); }
void Producer::forget_refused_size() noexcept { inside_->forget_refused_size(); }
TimePoint Producer::quiet_until() const {
  return inside_->ask_quota([](const Quota& quota, TimePoint) { return quota.until(); });
}
bool Producer::deaf() const {
  return inside_->ask_quota([](const Quota& quota, TimePoint now) { return quota.deaf(now); });
}
std::optional<Quota::Said> Producer::quota() const {
  return inside_->ask_quota([](const Quota& quota, TimePoint now) { return quota.said(now); });
}
std::size_t Producer::granted() const { return inside_->granted(); }
bool Producer::acknowledges(Patience& patience) { return inside_->acknowledges(patience); }
std::optional<std::string> Producer::overasked() const { return inside_->overasked(); }
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
  return inside_->check(topics, patience, replicas, false);
}
std::optional<Fault> Producer::check_leaders(const std::vector<std::string>& topics, Patience& patience,
                                             const MinReplicas& replicas) {
  return inside_->check(topics, patience, replicas, true);
}
std::optional<Fault> Producer::ask_leaders(Patience& patience) { return inside_->ask_leaders(patience); }
int Producer::known_brokers() const noexcept { return inside_->known_brokers(); }
Result<std::map<std::string, TopicTrouble>> Producer::troubles(const std::vector<std::string>& topics) {
  return inside_->troubles(topics);
}
bool Producer::requires_topic(std::string_view topic) const { return inside_->requires_topic(topic); }
std::map<std::string, TopicLimits> Producer::topic_limits(const std::vector<std::string>& topics, Patience& patience) {
  return inside_->topic_limits(topics, patience);
}

std::shared_ptr<Reaper> make_reaper(Log& log, AlarmBoard& alarms) { return std::make_shared<Reaper>(log, alarms); }

}  // namespace ratchet::kafka
