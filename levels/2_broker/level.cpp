#include "levels/2_broker/level.hpp"

#include <algorithm>
#include <utility>

#include "levels/2_broker/held_broker.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr auto kRaise = 10s;
constexpr auto kProving = 8s;  // that Kafka takes records, which it did not before
constexpr auto kLetGo = 500ms;
constexpr ProbePlan kProbe{2s, 1s, 2};

}  // namespace

BrokerLevel::BrokerLevel(const BrokerSettings& settings, std::vector<std::string> topics, milliseconds flush,
                         Relay& relay, RecordLimits& limits, Producer::Parts parts)
    : settings_(settings),
      flush_(flush),
      relay_(relay),
      parts_(std::move(parts)),
      facts_(settings_, std::move(topics), limits, parts_.time, parts_.log) {}

Duration BrokerLevel::raise_patience() const noexcept { return kRaise; }
ProbePlan BrokerLevel::probe_plan() const noexcept { return kProbe; }

Result<std::unique_ptr<HeldLevel>> BrokerLevel::raise(Patience& patience, Incarnation incarnation) {
  auto held = std::make_unique<HeldBroker>(
      HeldBroker::Parts{facts_, flush_, settings_.on_loss, relay_, parts_, refusing_}, incarnation);
  auto made = Producer::create(settings_, incarnation, held->ear());
  if (!made) return std::move(made).error();
  Producer& producer = **made;
  if (auto fault = producer.check_leaders(facts_.topics(), patience)) return *std::move(fault);
  facts_.read(producer, patience);
  if (!facts_.replicas().empty()) {  // what was not known before
    if (auto fault = producer.check_topics(facts_.topics(), patience, facts_.replicas())) return *std::move(fault);
  }
  auto begun = held->begin(settings_, *std::move(made));
  if (!begun) return std::move(begun).error();
  if (refusing_) {
    Patience proving(std::min(patience.deadline(), parts_.time.now() + kProving));
    if (auto refused = held->prove(proving)) {
      Patience brief(parts_.time.now() + kLetGo);
      held->drain(brief, Leave::fault);  // the lease goes back
      return *std::move(refused);
    }
    refusing_ = false;
  }
  return std::unique_ptr<HeldLevel>(std::move(held));
}

}  // namespace ratchet::kafka
