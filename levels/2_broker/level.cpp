#include "levels/2_broker/level.hpp"

#include <algorithm>
#include <utility>

#include "levels/2_broker/held_broker.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr auto kRaise = 10s;
constexpr ProbePlan kProbe{2s, 1s, 2};
constexpr auto kLimits = 2s;               // to ask for record limits
constexpr std::size_t kBatch = 1'000'000;  // librdkafka's own batch.size
constexpr std::size_t kFraming = 128;      // what a batch of one record adds to key, value and headers

}  // namespace

void RecordLimits::set(const std::map<std::string, std::size_t>& limits, std::size_t otherwise) {
  std::lock_guard lock(mutex_);
  limits_.clear();
  for (const auto& [topic, limit] : limits)
    limits_.emplace(topic, limit);
  otherwise_ = otherwise;
}

std::size_t RecordLimits::of(std::string_view topic) const {
  std::lock_guard lock(mutex_);
  auto found = limits_.find(topic);
  return found != limits_.end() ? found->second : otherwise_;
}

BrokerLevel::BrokerLevel(const BrokerSettings& settings, std::vector<std::string> topics, milliseconds flush,
                         Relay& relay, RecordLimits& limits, Producer::Parts parts)
    : settings_(settings),
      topics_(std::move(topics)),
      flush_(flush),
      relay_(relay),
      limits_(limits),
      parts_(std::move(parts)) {}

Duration BrokerLevel::raise_patience() const noexcept { return kRaise; }
ProbePlan BrokerLevel::probe_plan() const noexcept { return kProbe; }

// A producer that has seen a leader for every topic, and as many in-sync replicas as `replicas` asks for.
Result<std::unique_ptr<Producer>> BrokerLevel::make(const BrokerSettings& settings, Patience& patience,
                                                    Incarnation incarnation, const Producer::Parts& parts,
                                                    const MinReplicas& replicas) {
  auto producer = Producer::create(settings, incarnation, parts);
  if (!producer) return producer;
  if (auto fault = (*producer)->check_topics(topics_, patience, replicas)) return *std::move(fault);
  return producer;
}

Result<std::unique_ptr<HeldLevel>> BrokerLevel::raise(Patience& patience, Incarnation incarnation) {
  auto held =
      std::make_unique<HeldBroker>(HeldBroker::Parts{topics_, flush_, settings_.on_loss, relay_, parts_}, incarnation);
  auto producer = make(settings_, patience, incarnation, held->ear(), {});
  if (!producer) return std::move(producer).error();
  Patience asking(std::min(patience.deadline(), parts_.time.now() + kLimits));
  auto told = (*producer)->topic_limits(topics_, asking);
  learn_limits(told);

  // The broker holds a topic's limit against whole batches. A batch larger than the smallest limit would be refused
  // with everything in it, so batches are made no larger; that is a setting of the producer, hence a new one.
  BrokerSettings settings = settings_;
  std::size_t smallest = kBatch;
  MinReplicas replicas;
  for (const auto& [topic, limits] : told) {
    if (limits.record_bytes > 0) smallest = std::min(smallest, limits.record_bytes);
    if (limits.min_replicas > 0) replicas[topic] = limits.min_replicas;
  }
  if (smallest < kBatch && settings_.properties.count("batch.size") == 0) {
    settings.properties["batch.size"] = std::to_string(smallest);
    producer = make(settings, patience, incarnation, held->ear(), replicas);
    if (!producer) return std::move(producer).error();
  } else if (!replicas.empty()) {  // what it did not know when it looked
    if (auto fault = (*producer)->check_topics(topics_, patience, replicas)) return *std::move(fault);
  }
  auto begun = held->begin(settings, *std::move(producer), std::move(replicas));
  if (!begun) return std::move(begun).error();
  return std::unique_ptr<HeldLevel>(std::move(held));
}

void BrokerLevel::learn_limits(const std::map<std::string, TopicLimits>& told) {
  std::map<std::string, std::size_t> limits;
  for (const auto& [topic, found] : told) {
    if (found.record_bytes > 0) limits[topic] = found.record_bytes > kFraming ? found.record_bytes - kFraming : 0;
  }
  if (limits.size() < topics_.size() && !std::exchange(said_unknown_limits_, true)) {
    parts_.log.notice("broker: does not tell every topic's record limit, using broker.max_record_bytes",
                      {{"bytes", std::to_string(settings_.max_record_bytes)}});
  }
  limits_.set(limits, settings_.max_record_bytes);
}

}  // namespace ratchet::kafka
