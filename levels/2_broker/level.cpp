#include "levels/2_broker/level.hpp"

#include <algorithm>
#include <utility>

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr auto kRaise = 10s;
constexpr ProbePlan kProbe{2s, 1s, 2};
constexpr auto kLimits = 2s;               // to ask for record limits
constexpr auto kFall = 1s;                 // to let go of the lease when falling
constexpr std::size_t kBatch = 1'000'000;  // librdkafka's own batch.size
constexpr std::size_t kFraming = 128;      // what a batch of one record adds to key, value and headers

class HeldBroker final : public HeldLevel {
 public:
  HeldBroker(std::unique_ptr<Producer> producer, const std::vector<std::string>& topics, milliseconds flush,
             Relay& relay, const TimeSource& time)
      : producer_(std::move(producer)), topics_(topics), flush_(flush), relay_(relay), time_(time) {}
  ~HeldBroker() override {
    Patience none(time_.now());
    relay_.stop(none, Leave::fault);
  }
  HeldBroker(const HeldBroker&) = delete;
  HeldBroker& operator=(const HeldBroker&) = delete;

  std::optional<Fault> probe(Patience& patience) override { return producer_->check_topics(topics_, patience); }

  void drain(Patience& patience, Leave leave) override {
    patience.shrink_to(time_.now() + (leave == Leave::asked ? Duration(flush_) : Duration(kFall)));
    relay_.stop(patience, leave);
    if (leave == Leave::asked) producer_->flush(patience);  // what is not home by then is still in the outbox
    producer_->purge();
  }

  std::optional<std::string> degraded() const override {
    if (relay_.paused()) return "the relay is paused";
    if (relay_.behind()) return "the outbox is over its budget";
    return std::nullopt;
  }

 private:
  std::unique_ptr<Producer> producer_;
  const std::vector<std::string>& topics_;
  const milliseconds flush_;
  Relay& relay_;
  const TimeSource& time_;
};

}  // namespace

void RecordLimits::set(std::map<std::string, std::size_t> limits, std::size_t otherwise) {
  std::lock_guard lock(mutex_);
  limits_.clear();
  for (auto& [topic, limit] : limits)
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

// A producer that has seen a leader for every topic.
Result<std::unique_ptr<Producer>> BrokerLevel::make(const BrokerSettings& settings, Patience& patience,
                                                    Incarnation incarnation) {
  auto producer = Producer::create(settings, incarnation, parts_);
  if (!producer) return producer;
  if (auto fault = (*producer)->check_topics(topics_, patience)) return *std::move(fault);
  return producer;
}

Result<std::unique_ptr<HeldLevel>> BrokerLevel::raise(Patience& patience, Incarnation incarnation) {
  auto producer = make(settings_, patience, incarnation);
  if (!producer) return std::move(producer).error();
  Patience asking(std::min(patience.deadline(), parts_.time.now() + kLimits));
  auto told = (*producer)->record_limits(topics_, asking);
  learn_limits(told);

  // The broker holds a topic's limit against whole batches. A batch larger than the smallest limit would be refused
  // with everything in it, so batches are made no larger; that is a setting of the producer, hence a new one.
  std::size_t smallest = kBatch;
  for (const auto& [topic, limit] : told)
    smallest = std::min(smallest, limit);
  if (smallest < kBatch && settings_.properties.count("batch.size") == 0) {
    BrokerSettings smaller = settings_;
    smaller.properties["batch.size"] = std::to_string(smallest);
    producer = make(smaller, patience, incarnation);
    if (!producer) return std::move(producer).error();
  }
  if (auto started = relay_.start(**producer, incarnation); !started) return std::move(started).error();
  return std::unique_ptr<HeldLevel>(
      std::make_unique<HeldBroker>(*std::move(producer), topics_, flush_, relay_, parts_.time));
}

void BrokerLevel::learn_limits(const std::map<std::string, std::size_t>& told) {
  std::map<std::string, std::size_t> limits;
  for (const auto& [topic, limit] : told)
    limits[topic] = limit > kFraming ? limit - kFraming : 0;
  if (limits.size() < topics_.size() && !std::exchange(said_unknown_limits_, true)) {
    parts_.log.notice("broker: does not tell every topic's record limit, using broker.max_record_bytes",
                      {{"bytes", std::to_string(settings_.max_record_bytes)}});
  }
  limits_.set(std::move(limits), settings_.max_record_bytes);
}

}  // namespace ratchet::kafka
