#include <algorithm>
#include <array>
#include <cstdlib>

#include "levels/2_broker/producer_inside.hpp"
#include "levels/2_broker/verdict.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr auto kTry = 1000ms;     // one metadata request
constexpr auto kBetween = 100ms;  // least time between two of them

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

}  // namespace ratchet::kafka
