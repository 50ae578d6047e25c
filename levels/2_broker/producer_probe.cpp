#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>

#include "levels/2_broker/producer_inside.hpp"
#include "levels/2_broker/verdict.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr auto kTry = 1000ms;     // one metadata request
constexpr auto kBetween = 100ms;  // least time between two of them
constexpr auto kEach = 200ms;     // for one leader to answer, when one of several has not
// librdkafka tells the same trouble of a connection again only after so long.
constexpr auto kReasonHolds = 40s;

// Answers that trying again within a few seconds does not change.
bool final_answer(FaultKind kind) noexcept {
  return kind == FaultKind::authentication || kind == FaultKind::authorisation || kind == FaultKind::tls ||
         kind == FaultKind::broker_fatal;
}

// What a broker itself has answered. librdkafka's own errors are below -100; those that only say that it does not know
// the partition (the metadata's business) are no silence either.
bool is_answer(int code) noexcept {
  return code > -100 || code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

std::string overasked_text(const char* topic, const rd_kafka_metadata_partition_t& partition, int wanted) {
  return std::string("topic \"") + topic + "\" has " + std::to_string(partition.replica_cnt) +
         (partition.replica_cnt == 1 ? " replica" : " replicas") + ", but its min.insync.replicas is " +
         std::to_string(wanted);
}

TopicLimits limits_in(const rd_kafka_ConfigResource_t& resource) {
  TopicLimits limits;
  std::size_t entries = 0;
  const auto** configs = rd_kafka_ConfigResource_configs(&resource, &entries);
  for (std::size_t e = 0; e < entries; ++e) {
    std::string_view name = rd_kafka_ConfigEntry_name(configs[e]);
    const char* value = rd_kafka_ConfigEntry_value(configs[e]);
    if (value == nullptr) continue;
    if (name == "max.message.bytes" || name == "segment.bytes") {
      const std::size_t bytes = std::strtoul(value, nullptr, 10);
      limits.record_bytes = limits.record_bytes == 0 ? bytes : std::min(limits.record_bytes, bytes);
    }
    if (name == "min.insync.replicas") limits.min_replicas = static_cast<int>(std::strtol(value, nullptr, 10));
  }
  return limits;
}

}  // namespace

std::optional<Fault> Producer::Inside::look_at(const std::vector<std::string>& topics,
                                               const rd_kafka_metadata_t& metadata, const MinReplicas& replicas) {
  overasked_.reset();
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
  const auto found = replicas.find(topic.topic);
  const int wanted = found == replicas.end() ? 0 : found->second;
  for (int p = 0; p < topic.partition_cnt; ++p) {
    const rd_kafka_metadata_partition_t& partition = topic.partitions[p];
    std::string where = "topic \"" + std::string(topic.topic) + "\": partition " + std::to_string(partition.id);
    if (partition.leader < 0)
      return fault(FaultKind::not_enough_replicas, where + " has no leader: are its brokers up?");
    if (partition.replica_cnt < wanted && !overasked_) overasked_ = overasked_text(topic.topic, partition, wanted);
    if (partition.isr_cnt >= std::min(wanted, partition.replica_cnt)) continue;
    return fault(FaultKind::not_enough_replicas,
                 where + " has " + std::to_string(partition.isr_cnt) + " of the " +
                     std::to_string(std::min(wanted, partition.replica_cnt)) +
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
    learn_leaders(topics, *metadata);
    return look_at(topics, *metadata, replicas);
  }
  if (reason_) return fault(reason_->kind(), reason_->text);
  return fault(FaultKind::timed_out, "no answer within " + std::to_string(ms) + " ms");
}

std::optional<Fault> Producer::Inside::check(const std::vector<std::string>& topics, Patience& patience,
                                             const MinReplicas& replicas, bool leaders) {
  {
    std::lock_guard lock(mutex_);
    required_ = topics;
  }
  std::optional<Fault> last;
  for (;;) {
    TimePoint begun = parts_.time.now();
    if (last && patience.left(begun) < kBetween) return last;  // no answer in no time would hide what is known
    last = ask_once(topics, std::min<Duration>(kTry, patience.left(begun)), replicas);
    if (!last && leaders) last = ask_leaders(patience);
    if (!last || last->kind == FaultKind::topic_missing || final_answer(last->kind)) return last;
    if (patience.over(parts_.time.now())) return last;
    // An answer that came at once (no leader yet) is not asked for again at once.
    pause(std::min(begun + kBetween, patience.deadline()));
  }
}

// ---- leaders -----------------------------------------------------------------------------------------------------

void Producer::Inside::learn_leaders(const std::vector<std::string>& topics, const rd_kafka_metadata_t& metadata) {
  std::map<int, std::string> addresses;
  for (int b = 0; b < metadata.broker_cnt; ++b) {
    const rd_kafka_metadata_broker_t& broker = metadata.brokers[b];
    addresses[broker.id] = std::string(broker.host) + ":" + std::to_string(broker.port);
  }
  leaders_.clear();
  const std::set<std::string_view> wanted(topics.begin(), topics.end());
  std::set<int> seen;
  for (int t = 0; t < metadata.topic_cnt; ++t) {
    const rd_kafka_metadata_topic_t& topic = metadata.topics[t];
    if (wanted.count(topic.topic) == 0) continue;
    for (int p = 0; p < topic.partition_cnt; ++p) {
      const rd_kafka_metadata_partition_t& partition = topic.partitions[p];
      if (partition.leader < 0 || !seen.insert(partition.leader).second) continue;
      leaders_.push_back({partition.leader, addresses[partition.leader], topic.topic, partition.id});
    }
  }
}

// ListOffsets goes to the leader itself, to each its own at the same time. The first error, 0: all have answered.
int Producer::Inside::ask(const std::vector<Leader>& leaders, Duration most) {
  Offsets asked(rd_kafka_topic_partition_list_new(static_cast<int>(leaders.size())));
  for (const Leader& leader : leaders) {
    rd_kafka_topic_partition_list_add(asked.get(), leader.topic.c_str(), leader.partition)->offset =
        RD_KAFKA_OFFSET_END;
  }
  const auto ms = std::max<milliseconds::rep>(1, std::chrono::duration_cast<milliseconds>(most).count());
  return rd_kafka_offsets_for_times(kafka_, asked.get(), static_cast<int>(ms));
}

std::optional<Producer::Inside::NodeReason> Producer::Inside::reason_of(const Leader& leader) const {
  std::lock_guard lock(mutex_);
  auto found = node_reasons_.find(leader.id);
  if (found == node_reasons_.end() || parts_.time.now() - found->second.at > kReasonHolds) return std::nullopt;
  return found->second;
}

Fault Producer::Inside::silent(const Leader& leader, int code, Duration waited) const {
  FaultKind kind = FaultKind::leader_unreachable;
  std::string why = rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(code));
  if (code == RD_KAFKA_RESP_ERR__TIMED_OUT) {
    why = "no answer within " + std::to_string(std::chrono::duration_cast<milliseconds>(waited).count()) + " ms";
  }
  if (auto reason = reason_of(leader)) {
    why = reason->why.text;
    if (final_answer(reason->why.kind())) kind = reason->why.kind();
  }
  return fault(kind, "broker " + std::to_string(leader.id) + " leads topic \"" + leader.topic +
                         "\", but cannot be reached at " + leader.advertised +
                         ", the address it advertises: " + std::move(why));
}

std::optional<Fault> Producer::Inside::ask_leaders(Patience& patience) {
  std::vector<Leader> leaders;
  {
    std::lock_guard lock(mutex_);
    leaders = leaders_;
  }
  if (leaders.empty()) return std::nullopt;
  const bool alone = leaders.size() == 1;
  const Duration all = patience.left(parts_.time.now());
  const Duration most = std::min<Duration>(kTry, alone ? all : all * 6 / 10);
  const int code = ask(leaders, most);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR || (alone && is_answer(code))) return std::nullopt;
  if (alone) return silent(leaders.front(), code, most);
  // Which of them is it? The ones whose connections are known to have failed first.
  std::stable_partition(leaders.begin(), leaders.end(),
                        [this](const Leader& one) { return reason_of(one).has_value(); });
  for (const Leader& leader : leaders) {
    const Duration left = std::min<Duration>(kEach, patience.left(parts_.time.now()));
    if (left <= Duration::zero()) return silent(leader, code, most);
    if (const int answer = ask({leader}, left); !is_answer(answer)) return silent(leader, answer, left);
  }
  return std::nullopt;  // it was slow, and has answered now
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

}  // namespace ratchet::kafka
