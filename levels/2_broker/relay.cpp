#include "levels/2_broker/relay.hpp"

#include <algorithm>
#include <cassert>
#include <functional>

#include "levels/0_baseline/thread.hpp"
#include "levels/2_broker/relay_inside.hpp"
#include "levels/2_broker/verdict.hpp"
#include "levels/core/backoff.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr int kLevel = 2;
constexpr auto kLeaseWait = 250ms;
constexpr auto kUnconnected = 250ms;  // looking at a pool that is not connected costs nothing
constexpr auto kStopLook = 20ms;
constexpr auto kServerFirst = 250ms;  // the server's own timeout comes before our watchdog
constexpr auto kPatient = 10min;      // see Session::acquire_patiently
constexpr BackoffSettings kBackoff{100ms, 2s, 10s};

}  // namespace

Relay::Inside::Inside(Parts parts)
    : watch_({parts.pool,
              parts.time,
              parts.log,
              parts.metrics,
              parts.alarms,
              parts.budget,
              {parts.tuning.stats, parts.tuning.alarm, parts.tuning.blind}}),
      parts_(std::move(parts)),
      random_(static_cast<std::minstd_rand::result_type>(std::hash<std::string>{}(parts_.owner))) {
  Metrics& metrics = parts_.metrics;
  const Labels pool{{"pool", parts_.pool.settings().name}};
  last_publish_ = metrics.measured("ratchet_relay_last_publish_timestamp_seconds",
                                   "When this instance's relay last had an event acknowledged", pool);
  leads_gauge_ = metrics.gauge("ratchet_relay_leads", "1 while this instance's relay holds the lease", pool);
  published_ = metrics.counter("ratchet_relay_published_total", "Events acknowledged by Kafka", pool);
  buried_ = metrics.counter("ratchet_relay_buried_total", "Events put into the dead-letter table", pool);
  retries_ = metrics.counter("ratchet_relay_retries_total", "Pages read and produced again after a failure", pool);
}

Relay::Inside::~Inside() {
  Patience none(now());
  stop(none, Leave::fault);
}

Result<Nothing> Relay::Inside::start(Producer* producer, Incarnation incarnation, FaultSink& faults) {
  assert(!thread_.joinable());
  producer_ = producer;
  incarnation_ = incarnation;
  faults_ = &faults;
  course_ = Course::going;
  auto none = watch_.start(producer_ != nullptr);
  if (!none && producer_ == nullptr) return Nothing{};
  if (!none) {
    finished_ = false;
    producer_->set_sink(this);
    none = start_thread(thread_, "relay", [this] { run(); });
    if (!none) return Nothing{};
    finished_ = true;
    producer_->set_sink(nullptr);
    watch_.stop();
  }
  producer_ = nullptr;
  return Fault{kLevel, incarnation, FaultKind::out_of_files, "broker: no thread for the relay: " + *none, now()};
}

void Relay::Inside::stop(Patience& patience, Leave leave) {
  if (!thread_.joinable()) return watch_.stop();
  {
    std::unique_lock lock(mutex_);
    patience_ = &patience;
    course_ = leave == Leave::asked ? Course::asked : Course::fault;
    changed_.notify_all();
    while (!finished_) {
      if (patience.over(now()) && connection_ != nullptr) connection_->cut();
      changed_.wait_for(lock, kStopLook);
    }
  }
  thread_.join();
  watch_.stop();
  producer_->set_sink(nullptr);
  producer_ = nullptr;
  patience_ = nullptr;
}

void Relay::Inside::wake() noexcept {
  if (woken_.exchange(true, std::memory_order_acq_rel)) return;
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void Relay::Inside::pause(bool paused) noexcept {
  if (paused_.exchange(paused) == paused) return;
  if (paused) {
    parts_.alarms.set("relay.paused", "the relay is paused: events are taken, but not published",
                      "An operator paused it: ratchetctl relay resume.");
  } else {
    parts_.alarms.clear("relay.paused");
  }
  watch_.pause(paused);
  wake();
}

void Relay::Inside::delivered(const Delivery& delivery) {
  std::lock_guard lock(mutex_);
  window_.delivered(delivery, is_purge(delivery.code));
  ++came_back_;
  if (wants_room_ || window_.settled()) changed_.notify_all();  // not for every record: waking costs more than it
}

// ---- waiting -----------------------------------------------------------------------------------------------------

template <class Condition>
void Relay::Inside::wait(TimePoint until, Condition condition) {
  std::unique_lock lock(mutex_);
  const Course before = course();
  while (!condition() && course() == before) {
    TimePoint at = now();
    if (at >= until || (before != Course::going && patience_->over(at))) return;
    changed_.wait_until(lock, before == Course::going ? until : std::min(until, patience_->nap(at)));
  }
}

void Relay::Inside::rest(TimePoint until) {
  wait(until, [] { return false; });
}

void Relay::Inside::idle(TimePoint until) {
  wait(until, [this] { return woken_.exchange(false, std::memory_order_acq_rel); });
}

bool Relay::Inside::wait_settled(TimePoint until) {
  bool settled = false;
  wait(until, [&] { return settled = window_.settled(); });
  return settled;
}

void Relay::Inside::wait_room(TimePoint until) {
  std::optional<std::uint64_t> before;
  wait(until, [&] {
    wants_room_ = true;
    if (!before) before = came_back_;
    return *before != came_back_;
  });
  std::lock_guard lock(mutex_);
  wants_room_ = false;
}

bool Relay::Inside::hurried() const noexcept {
  Course present = course();
  return present == Course::fault || (present == Course::asked && patience_->over(now()));
}

TimePoint Relay::Inside::call_until() const noexcept {
  TimePoint until = now() + parts_.pool.settings().statement + kServerFirst;
  return going() ? until : std::min(until, patience_->deadline());
}

TimePoint Relay::Inside::patient_until() const noexcept {
  return going() ? now() + kPatient + kServerFirst : patience_->deadline();
}

// ---- the thread --------------------------------------------------------------------------------------------------

void Relay::Inside::run() {
  Backoff backoff(kBackoff);
  while (going()) {
    TimePoint begun = now();
    if (!session()) {
      rest(now() + kUnconnected);
      continue;
    }
    backoff.fell(now() - begun);
    if (going()) rest(now() + backoff.next(chance()));
  }
  std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}

bool Relay::Inside::session() {
  auto lease = parts_.pool.lease(now() + kLeaseWait);
  if (!lease) {
    // A pool that is not connected has an alarm of its own.
    if (lease.error() == db::LeaseError::timed_out) watch_.hindered(no_connection(parts_.pool));
    return false;
  }
  work_on(&**lease);
  Session(*this, *lease).run();
  lead(false);
  work_on(nullptr);
  return true;
}

void Relay::Inside::work_on(db::Connection* connection) {
  watch_.works_on(connection);
  std::lock_guard lock(mutex_);
  connection_ = connection;
}

double Relay::Inside::chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }

void Relay::Inside::lead(bool leads) {
  if (leads_.exchange(leads) == leads) return;
  leads_gauge_.set(leads ? 1 : 0);
}

void Relay::Inside::report(FaultKind kind, std::string text) {
  faults_->report({kLevel, incarnation_, kind, "broker: " + std::move(text), now()});
}

// ---- relay -------------------------------------------------------------------------------------------------------

Relay::Relay(Parts parts) : inside_(std::make_unique<Inside>(std::move(parts))) {}
Relay::~Relay() = default;
Result<Nothing> Relay::start(Producer& producer, Incarnation incarnation, FaultSink& faults) {
  return inside_->start(&producer, incarnation, faults);
}
Result<Nothing> Relay::measure(Incarnation incarnation, FaultSink& faults) {
  return inside_->start(nullptr, incarnation, faults);
}
void Relay::stop(Patience& patience, Leave leave) { inside_->stop(patience, leave); }
void Relay::wake() noexcept { inside_->wake(); }
void Relay::pause(bool paused) noexcept { inside_->pause(paused); }
const std::string& Relay::pool() const noexcept { return inside_->pool(); }
bool Relay::leads() const noexcept { return inside_->leads_; }
bool Relay::paused() const noexcept { return inside_->paused_; }
bool Relay::behind() const noexcept { return inside_->watch_.behind(); }
std::optional<std::string> Relay::trouble() const { return inside_->watch_.trouble(); }

}  // namespace ratchet::kafka
