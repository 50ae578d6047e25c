// Producer: what keeps a topic from taking records, asked of the broker.
#include <algorithm>
#include <utility>

#include "levels/2_broker/producer_inside.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr auto kAsk = 1000ms;
constexpr int kNoLeader = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
constexpr int kTooFewReplicas = RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;

// Of the partitions that fulfil `in_trouble`; empty: none does.
template <class InTrouble>
std::optional<TopicTrouble> trouble_of(const rd_kafka_metadata_topic_t& topic, int code, const char* what,
                                       InTrouble in_trouble) {
  TopicTrouble trouble;
  trouble.count = topic.partition_cnt;
  for (int p = 0; p < topic.partition_cnt; ++p) {
    if (in_trouble(topic.partitions[p])) trouble.partitions.insert(topic.partitions[p].id);
  }
  if (trouble.partitions.empty()) return std::nullopt;
  trouble.code = code;
  trouble.text = "partition " + std::to_string(*trouble.partitions.begin()) + what;
  return trouble;
}

}  // namespace

int TopicTrouble::partition_of(std::string_view key) const noexcept {
  return count == 0 ? 0 : rd_kafka_msg_partitioner_murmur2(nullptr, key.data(), key.size(), count, nullptr, nullptr);
}

Result<std::map<std::string, TopicTrouble>> Producer::Inside::troubles(const std::vector<std::string>& topics) {
  {
    std::lock_guard lock(mutex_);  // librdkafka asks for the topics it has handles of
    for (const auto& name : topics)
      topic(name);
  }
  const rd_kafka_metadata_t* raw = nullptr;
  const auto code = rd_kafka_metadata(kafka_, 0, nullptr, &raw, static_cast<int>(kAsk.count()));
  const Metadata metadata(raw);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return fault(FaultKind::timed_out, rd_kafka_err2str(code));
  std::map<std::string, TopicTrouble> found;
  std::vector<std::string> whole;  // as far as leaders go
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const rd_kafka_metadata_topic_t& told = metadata->topics[i];
    if (std::find(topics.begin(), topics.end(), told.topic) == topics.end()) continue;
    if (told.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      found[told.topic] = {told.err, rd_kafka_err2str(told.err), {}, 0, false};
    } else if (auto no_leader =
                   trouble_of(told, kNoLeader, " has no leader", [](const auto& p) { return p.leader < 0; })) {
      found[told.topic] = *std::move(no_leader);
    } else {
      whole.push_back(told.topic);
    }
  }
  Patience patience(now() + kAsk);
  const auto limits = topic_limits(whole, patience);
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const auto least = limits.find(metadata->topics[i].topic);
    if (least == limits.end()) continue;
    auto too_few = trouble_of(metadata->topics[i], kTooFewReplicas, " has fewer in-sync replicas than it needs",
                              [&](const auto& p) { return p.isr_cnt < least->second.min_replicas; });
    if (too_few) found[metadata->topics[i].topic] = *std::move(too_few);
  }
  return found;
}

}  // namespace ratchet::kafka
