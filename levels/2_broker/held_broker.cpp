#include "levels/2_broker/held_broker.hpp"

#include <algorithm>
#include <utility>

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr auto kFall = 1s;      // to let go of the lease when falling
constexpr auto kLetGo = 500ms;  // the same from within a probe
constexpr auto kAttempt = 10s;  // of one producer while away, as long as a raise
constexpr BackoffSettings kBackoff{};

// Of a producer that is only asked once: its answer is all that counts.
struct Silence final : FaultSink {
  void report(const Fault&) noexcept override {}
};

std::string away_text(const Fault& why) {
  constexpr std::string_view kOurs = "broker: ";
  std::string_view text = why.text;
  if (text.substr(0, kOurs.size()) == kOurs) text.remove_prefix(kOurs.size());
  return "Kafka is away: " + std::string(text);
}

}  // namespace

HeldBroker::HeldBroker(Parts parts, Incarnation incarnation)
    : parts_(std::move(parts)),
      incarnation_(incarnation),
      backoff_(kBackoff),
      random_(static_cast<std::minstd_rand::result_type>(std::hash<std::string>{}(parts_.producer.client_id))) {}

HeldBroker::~HeldBroker() {
  Patience none(now());
  parts_.relay.stop(none, Leave::fault);
  producer_.reset();  // before what its threads speak to
  if (away_) parts_.producer.alarms.clear(alarm_id());
}

std::string HeldBroker::alarm_id() const { return "broker.away." + parts_.relay.pool(); }

Producer::Parts HeldBroker::ear() { return telling(*this, [this] { doubt(); }); }

Producer::Parts HeldBroker::telling(FaultSink& faults, std::function<void()> on_doubt) const {
  const Producer::Parts& like = parts_.producer;
  return {like.time, like.log, like.metrics, like.alarms, faults, like.reaper, like.client_id, std::move(on_doubt)};
}

void HeldBroker::alarm_away(const Fault& why) {
  parts_.producer.alarms.set(alarm_id(), away_text(why),
                             "Events are taken and wait in the outbox until its budget is spent; then level 2 falls.");
}

Result<Nothing> HeldBroker::begin(const BrokerSettings& settings, std::unique_ptr<Producer> producer,
                                  MinReplicas replicas) {
  settings_ = settings;
  replicas_ = std::move(replicas);
  producer_ = std::move(producer);
  whole_since_ = now();
  return parts_.relay.start(*producer_, incarnation_, *this);
}

std::optional<Fault> HeldBroker::probe(Patience& patience) {
  return parts_.on_loss == OnLoss::fall ? ask(patience) : ride(patience);
}

// ---- asking ------------------------------------------------------------------------------------------------------

std::optional<Fault> HeldBroker::ask(Patience& patience) {
  std::optional<Fault> fault;
  if (std::exchange(missed_, false) && producer_->known_brokers() > 1) {
    Silence silence;
    auto fresh = Producer::create(settings_, incarnation_, telling(silence, {}));
    fault = fresh ? (*fresh)->check_topics(parts_.topics, patience, replicas_) : std::optional(fresh.error());
  } else {
    fault = producer_->check_topics(parts_.topics, patience, replicas_);
  }
  missed_ = fault.has_value();
  return fault;
}

// From the producer's or the relay's thread: nothing is proven, but waiting for the next probe would be a waste.
void HeldBroker::doubt() {
  std::function<void()> probe_soon;
  {
    std::lock_guard lock(mutex_);
    probe_soon = probe_soon_;
  }
  if (probe_soon) probe_soon();
}

void HeldBroker::on_doubt(const std::function<void()>& probe_soon) {
  std::lock_guard lock(mutex_);
  probe_soon_ = probe_soon;
}

void HeldBroker::report(const Fault& fault) noexcept {
  if (parts_.on_loss == OnLoss::fall) {
    parts_.producer.faults.report(fault);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    if (!lost_) lost_ = fault;
  }
  doubt();
}

std::optional<Fault> HeldBroker::take_lost() {
  std::lock_guard lock(mutex_);
  return std::exchange(lost_, std::nullopt);
}

// ---- riding ------------------------------------------------------------------------------------------------------

std::optional<Fault> HeldBroker::ride(Patience& patience) {
  if (away_) return look_for_it(patience);
  auto fault = take_lost();
  if (!fault) {
    bool second = missed_;
    fault = ask(patience);
    if (!fault) return std::nullopt;
    if (!second) {
      doubt();
      return std::nullopt;
    }
  }
  return let_go(*std::move(fault), patience);
}

std::optional<Fault> HeldBroker::let_go(Fault why, Patience& patience) {
  parts_.producer.log.warning("broker: away, events wait in the outbox", {{"reason", why.text}});
  alarm_away(why);
  backoff_.fell(now() - whole_since_);
  Patience brief(std::min(patience.deadline(), now() + kLetGo));
  parts_.relay.stop(brief, Leave::fault);
  producer_.reset();
  take_lost();  // what it said while it went
  missed_ = false;
  {
    std::lock_guard lock(mutex_);
    away_ = Away{std::move(why), now(), now()};
  }
  auto measures = parts_.relay.measure(incarnation_, *this);
  if (measures) {
    doubt();  // the first attempt at once
    return std::nullopt;
  }
  parts_.producer.faults.report(measures.error());  // nobody would see the budget being spent
  return measures.error();
}

std::optional<Fault> HeldBroker::look_for_it(Patience& patience) {
  if (parts_.relay.behind()) {
    Fault spent = away_->why;
    spent.text += "; and the outbox is over its budget";
    return spent;
  }
  if (producer_ == nullptr) {
    if (now() < away_->next_try) return std::nullopt;
    auto made = Producer::create(settings_, incarnation_, ear());
    if (!made) {
      attempt_failed(made.error());
      return std::nullopt;
    }
    producer_ = *std::move(made);
    away_->attempt_end = now() + kAttempt;
  }
  auto fault = producer_->check_topics(parts_.topics, patience, replicas_);
  if (!fault) fault = take_lost();
  if (!fault) return come_back(patience);
  if (needs_a_person(fault->kind) || fault->kind == FaultKind::broker_fatal || now() >= away_->attempt_end) {
    attempt_failed(*fault);
    return std::nullopt;
  }
  std::lock_guard lock(mutex_);
  away_->why = *std::move(fault);
  return std::nullopt;
}

void HeldBroker::attempt_failed(const Fault& why) {
  producer_.reset();
  take_lost();
  parts_.producer.log.info("broker: still away", {{"reason", why.text}});
  alarm_away(why);
  std::lock_guard lock(mutex_);
  away_->why = why;
  away_->next_try = now() + (needs_a_person(why.kind) ? backoff_.cap(chance()) : backoff_.next(chance()));
}

std::optional<Fault> HeldBroker::come_back(Patience& patience) {
  Patience brief(std::min(patience.deadline(), now() + kLetGo));
  parts_.relay.stop(brief, Leave::asked);
  {
    std::lock_guard lock(mutex_);
    away_.reset();
  }
  whole_since_ = now();
  parts_.producer.alarms.clear(alarm_id());
  parts_.producer.log.notice("broker: back, what waits in the outbox is published");
  auto started = parts_.relay.start(*producer_, incarnation_, *this);
  if (started) return std::nullopt;
  parts_.producer.faults.report(started.error());
  return started.error();
}

double HeldBroker::chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }

// ---- the rest ----------------------------------------------------------------------------------------------------

void HeldBroker::drain(Patience& patience, Leave leave) {
  patience.shrink_to(now() + (leave == Leave::asked ? Duration(parts_.flush) : Duration(kFall)));
  parts_.relay.stop(patience, leave);
  if (producer_ == nullptr) return;
  if (leave == Leave::asked && !away_) producer_->flush(patience);  // what is not home by then is still in the outbox
  producer_->purge();
}

std::optional<std::string> HeldBroker::degraded() const {
  {
    std::lock_guard lock(mutex_);
    if (away_) return away_text(away_->why);
  }
  if (parts_.relay.paused()) return "the relay is paused";
  if (auto trouble = parts_.relay.trouble()) return trouble;
  if (parts_.relay.behind()) return "the outbox is over its budget";
  return std::nullopt;
}

}  // namespace ratchet::kafka
