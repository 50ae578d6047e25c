#include "levels/2_broker/topic_facts.hpp"

#include <algorithm>
#include <utility>

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr auto kEvery = 60s;
constexpr auto kAgain = 5s;  // after no answer
constexpr auto kAsking = 2s;
constexpr std::size_t kFraming = 128;  // what a batch of one record adds to key, value and headers

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

TopicFacts::TopicFacts(const BrokerSettings& settings, std::vector<std::string> topics, RecordLimits& limits,
                       const TimeSource& time, Log& log)
    : topics_(std::move(topics)),
      otherwise_(settings.max_record_bytes),
      own_batches_(settings.properties.count("batch.size") != 0),
      limits_(limits),
      time_(time),
      log_(log) {}

bool TopicFacts::due(const Producer& producer) const { return producer.refused_a_size() || time_.now() >= next_; }

void TopicFacts::read(Producer& producer, Patience& patience) {
  producer.forget_refused_size();  // first: one that comes meanwhile asks for another look
  Patience asking(std::min(patience.deadline(), time_.now() + kAsking));
  const auto told = producer.topic_limits(topics_, asking);
  learn(told);
  pass_on(producer);
  const bool missed = told.empty() && !known_.empty();  // it has told before
  next_ = time_.now() + (missed ? kAgain : kEvery);
}

void TopicFacts::learn(const std::map<std::string, TopicLimits>& told) {
  for (const auto& [topic, found] : told) {
    auto [known, fresh] = known_.try_emplace(topic, found);
    if (fresh || known->second == found) continue;
    log_.notice("broker: a topic's configuration has changed",
                {{"topic", topic},
                 {"record_bytes", std::to_string(found.record_bytes)},
                 {"record_bytes_before", std::to_string(known->second.record_bytes)},
                 {"min_insync_replicas", std::to_string(found.min_replicas)},
                 {"min_insync_replicas_before", std::to_string(known->second.min_replicas)}});
    known->second = found;
  }
}

void TopicFacts::pass_on(Producer& producer) {
  std::map<std::string, std::size_t> limits;
  std::size_t smallest = 0;
  replicas_.clear();
  for (const auto& [topic, found] : known_) {
    if (found.min_replicas > 0) replicas_[topic] = found.min_replicas;
    if (found.record_bytes == 0) continue;
    limits[topic] = found.record_bytes > kFraming ? found.record_bytes - kFraming : 0;
    smallest = smallest == 0 ? found.record_bytes : std::min(smallest, found.record_bytes);
  }
  if (limits.size() < topics_.size() && !std::exchange(said_unknown_, true)) {
    log_.notice("broker: does not tell every topic's record limit, using broker.max_record_bytes",
                {{"bytes", std::to_string(otherwise_)}});
  }
  limits_.set(limits, otherwise_);
  // The broker holds the limit against whole batches: a larger one would be refused with everything in it.
  if (smallest > 0 && !own_batches_) producer.bound_batches(smallest);
}

}  // namespace ratchet::kafka
