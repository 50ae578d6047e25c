#include "levels/2_broker/held_broker.hpp"

#include <algorithm>
#include <utility>

#include "levels/core/runbook.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr auto kFall = 1s;      // to let go of the lease when falling
constexpr auto kLetGo = 500ms;  // the same from within a probe
constexpr auto kAttempt = 10s;  // of one producer while away, as long as a raise
constexpr int kLevel = 2;
constexpr auto kDeaf = 10s;       // between two questions while a quota keeps them unread
constexpr auto kQuotaText = 10s;  // between two texts of its alarm
constexpr auto kSilence = 10s;    // of a leader, then it is a miss
constexpr BackoffSettings kBackoff{};

// Of a producer that is only asked once: its answer is all that counts.
struct Silence final : FaultSink {
  void report(const Fault&) noexcept override {}
};

std::string bare(const Fault& why) {
  constexpr std::string_view kOurs = "broker: ";
  return why.text.substr(why.text.compare(0, kOurs.size(), kOurs) == 0 ? kOurs.size() : 0);
}

std::string quota_text(const Quota::Said& said, const std::string& client) {
  const auto ms = std::chrono::duration_cast<milliseconds>(said.longest).count();
  const auto rate = static_cast<std::int64_t>(said.bytes_per_second);
  return "a quota of Kafka holds us back (client id " + client + " or its user): broker " + std::to_string(said.node) +
         " lets us wait for up to " + std::to_string(ms) + " ms, about " + std::to_string(rate) +
         " bytes/s are granted";
}

std::string away_text(const Fault& why) { return "Kafka is away: " + bare(why); }

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
  if (away_) parts_.producer.alarms.clear(alarm_id("away"));
  leaders_answer();
  parts_.producer.alarms.clear(alarm_id("quota"));
}

std::string HeldBroker::alarm_id(std::string_view kind) const {
  return "broker." + std::string(kind) + "." + parts_.relay.pool();
}

Producer::Parts HeldBroker::ear() {
  return telling(*this, [this] { doubt(); });
}

Producer::Parts HeldBroker::telling(FaultSink& faults, std::function<void()> on_doubt) const {
  const Producer::Parts& like = parts_.producer;
  return {like.time, like.log, like.metrics, like.alarms, faults, like.reaper, like.client_id, std::move(on_doubt)};
}

void HeldBroker::alarm_away(const Fault& why) {
  parts_.producer.alarms.set(alarm_id("away"), away_text(why),
                             "Events are taken and wait in the outbox until its budget is spent; then level 2 falls.");
}

Result<Nothing> HeldBroker::begin(const BrokerSettings& settings, std::unique_ptr<Producer> producer) {
  settings_ = settings;
  producer_ = std::move(producer);
  whole_since_ = now();
  look_at_replicas();
  return parts_.relay.start(*producer_, incarnation_, *this);
}

std::optional<Fault> HeldBroker::prove(Patience& patience) {
  if (producer_->acknowledges(patience) || producer_->in_flight() == 0) return std::nullopt;
  return with_cause({kLevel, incarnation_, FaultKind::timed_out, "broker: no acknowledgement", now()});
}

std::optional<Fault> HeldBroker::probe(Patience& patience) {
  return parts_.on_loss == OnLoss::fall ? ask(patience) : ride(patience);
}

// ---- asking ------------------------------------------------------------------------------------------------------

std::optional<Fault> HeldBroker::ask(Patience& patience) {
  look_at_quota();
  if (producer_->deaf()) {  // what we ask lies unread: silence proves nothing, and is not asked for often
    if (now() - answered_at_ < kDeaf) return std::nullopt;
    if (producer_->check_topics(topics(), patience, parts_.facts.replicas())) return std::nullopt;
  } else {
    auto fault = ask_topics(patience);
    if (!fault) fault = ask_leaders(patience);
    if (fault || silent_since_) return fault;
  }
  answered_at_ = now();
  look_at_replicas();
  if (parts_.facts.due(*producer_)) parts_.facts.read(*producer_, patience);
  return std::nullopt;
}

std::optional<Fault> HeldBroker::ask_topics(Patience& patience) {
  std::optional<Fault> fault;
  if (std::exchange(missed_, false) && producer_->known_brokers() > 1) {
    Silence silence;
    auto fresh = Producer::create(settings_, incarnation_, telling(silence, {}));
    fault = fresh ? (*fresh)->check_topics(topics(), patience, parts_.facts.replicas()) : std::optional(fresh.error());
  } else {
    fault = producer_->check_topics(topics(), patience, parts_.facts.replicas());
  }
  missed_ = fault.has_value();
  return fault;
}

std::optional<Fault> HeldBroker::ask_leaders(Patience& patience) {
  auto silent = producer_->ask_leaders(patience);
  if (!silent) {
    leaders_answer();
    return std::nullopt;
  }
  const bool again = silent_since_.has_value();
  if (!again) silent_since_ = now();
  if (again) parts_.producer.alarms.set(alarm_id("leader"), bare(*silent), std::string(runbook(silent->kind)));
  {
    std::lock_guard lock(mutex_);
    silent_ = silent;
  }
  return now() - *silent_since_ < kSilence ? std::nullopt : silent;
}

void HeldBroker::look_at_replicas() {
  auto overasked = producer_->overasked();
  if (overasked) {
    parts_.producer.alarms.set(alarm_id("replicas"), *overasked,
                               "Give the topic more replicas (kafka-reassign-partitions.sh) or lower its "
                               "min.insync.replicas: Kafka before 3.7 refuses every event for it, later ones take it.");
  } else {
    parts_.producer.alarms.clear(alarm_id("replicas"));
  }
  std::lock_guard lock(mutex_);
  overasked_ = std::move(overasked);
}

void HeldBroker::look_at_quota() {
  const auto said = producer_->quota();
  if (!said) {
    parts_.producer.alarms.clear(alarm_id("quota"));
    std::lock_guard lock(mutex_);
    throttled_.reset();
    return;
  }
  if (throttled_ && now() - throttle_said_ < kQuotaText) return;
  throttle_said_ = now();
  const std::string text = quota_text(*said, parts_.producer.client_id);
  parts_.producer.alarms.set(alarm_id("quota"), text,
                             "Raise producer_byte_rate (or request_percentage) of this client id or its user with "
                             "kafka-configs.sh --entity-type clients or users; events wait in the outbox meanwhile.");
  std::lock_guard lock(mutex_);
  throttled_ = text;
}

void HeldBroker::leaders_answer() {
  if (!std::exchange(silent_since_, std::nullopt)) return;
  parts_.producer.alarms.clear(alarm_id("leader"));
  std::lock_guard lock(mutex_);
  silent_.reset();
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

void HeldBroker::report(const Fault& told) noexcept {
  const Fault fault = with_cause(told);
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

// No acknowledgement: perhaps it is known why.
Fault HeldBroker::with_cause(Fault fault) const {
  std::lock_guard lock(mutex_);
  if (fault.kind != FaultKind::timed_out || (!silent_ && !overasked_)) return fault;
  fault.kind = silent_ ? silent_->kind : FaultKind::not_enough_replicas;
  fault.text = (silent_ ? silent_->text : "broker: " + *overasked_) + " (" + bare(fault) + ")";
  if (!silent_) parts_.refusing = true;
  return fault;
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
    fault = ask(patience);
    const bool second = std::exchange(riding_miss_, fault.has_value());
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
  leaders_answer();
  parts_.producer.alarms.clear(alarm_id("quota"));
  missed_ = riding_miss_ = false;
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
  auto fault = producer_->check_leaders(topics(), patience, parts_.facts.replicas());
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
  parts_.producer.alarms.clear(alarm_id("away"));
  parts_.producer.log.notice("broker: back, what waits in the outbox is published");
  parts_.facts.read(*producer_, patience);
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
    if (silent_) return bare(*silent_);
    if (throttled_) return throttled_;
    if (overasked_) return overasked_;
  }
  if (parts_.relay.paused()) return "the relay is paused";
  if (auto trouble = parts_.relay.trouble()) return trouble;
  if (parts_.relay.behind()) return "the outbox is over its budget";
  return std::nullopt;
}

}  // namespace ratchet::kafka
