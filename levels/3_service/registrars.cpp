#include "levels/3_service/registrars.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "config/registrar_keys.hpp"
#include "levels/0_baseline/thread.hpp"
#include "levels/3_service/exec_hook.hpp"
#include "levels/3_service/haproxy_agent.hpp"
#include "levels/3_service/haproxy_runtime.hpp"
#include "levels/3_service/http_registrar.hpp"

namespace ratchet::service {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::string_view runbook_of(RegistrarType type) noexcept {
  switch (type) {
    case RegistrarType::haproxy_agent:
      return "Free the port of the registrar's `listen`, or choose another one, in HAProxy (agent-port), too.";
    case RegistrarType::haproxy_runtime:
      return "See whether HAProxy runs, its runtime sockets are there (level admin) and `server` is in its "
             "configuration; it is tried again by itself.";
    case RegistrarType::http:
      return "See whether the registry answers, and whether URL, secret and certificate are right; it is tried again "
             "by itself.";
    case RegistrarType::exec:
      return "Run the program by hand with RATCHET_VERB set (as the daemon's user): exit status 0 is success; it is "
             "tried again by itself.";
    case RegistrarType::health:
      break;
  }
  return "Nothing: it is told by /ready.";
}

RegistrationSettings rules_of(const RegistrarSettings& settings) {
  RegistrationSettings rules{settings.timeout, settings.heartbeat, settings.deregister, true, true};
  if (settings.type == RegistrarType::http) {
    rules.has_drain = settings.requests.count("drain") > 0;
    rules.has_status = settings.requests.count("status") > 0;
  }
  return rules;
}

}  // namespace

class Registrars::One {
 public:
  One(const RegistrarSettings& settings, const Parts& parts, std::unique_ptr<Balancer> balancer)
      : settings_(settings),
        parts_(parts),
        balancer_(std::move(balancer)),
        alarm_("registrar." + settings.name),
        up_(parts.metrics.gauge("ratchet_registrar_registered", "1 while the registrar has us registered.",
                                {{"registrar", settings.name}})),
        failures_(parts.metrics.counter("ratchet_registrar_failures_total", "Tries of registrars that failed.",
                                        {{"registrar", settings.name}})),
        registration_(rules_of(settings)) {
    up_.set(0);
    const auto missing = start_thread(thread_, "registrar", [this] { run(); });
    if (missing) parts_.alarms.set(alarm_, "no thread for it: " + *missing, "Raise TasksMax, then restart.");
  }

  ~One() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      break_off();
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  One(const One&) = delete;
  One& operator=(const One&) = delete;

  void want(bool here, Leave why) {
    {
      const std::lock_guard lock(mutex_);
      const TimePoint now = parts_.time.now();
      if (here_ && !here) leaving_since_ = now;
      here_ = here;
      why_ = why;
      wanted_ = true;
      if (registration_overtaken(here)) break_off();
    }
    changed_.notify_all();
  }

  Word word() const {
    const std::lock_guard lock(mutex_);
    if (!thread_.joinable()) return {};
    return {!wanted_ && registration_.left(), confirmed_, left_at_};
  }

  std::string result() const {
    const std::lock_guard lock(mutex_);
    const bool left = !wanted_ && registration_.left();
    const Duration took = (left ? left_at_ : parts_.time.now()) - leaving_since_;
    const std::string after = " after " + std::to_string(duration_cast<milliseconds>(took).count()) + " ms";
    std::string text = settings_.name + ": ";
    text += !left ? "has not left" : registration_.gave_up() ? "gave up" : "left";
    text += after;
    if (!registration_.trouble().empty()) text += " (" + registration_.trouble() + ")";
    return text;
  }

 private:
  // Under the mutex. What is under way is answered at once, as broken off.
  void break_off() {
    if (patience_) patience_->shrink_to(parts_.time.now());
  }
  bool registration_overtaken(bool here) const noexcept {
    if (!verb_) return false;
    if (here) return *verb_ == Verb::drain || *verb_ == Verb::status;
    return *verb_ == Verb::register_ || *verb_ == Verb::heartbeat;
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      Registration::Next next;
      const TimePoint now = parts_.time.now();
      if (std::exchange(wanted_, false)) {
        next = registration_.want(here_, now, parts_.chance());
      } else {
        next = registration_.tick(now, parts_.chance());
      }
      while (next.order && !stopping_)
        next = carry_out(lock, *next.order);
      note();
      if (stopping_ || wanted_) continue;
      if (const auto wake = registration_.wake_at()) {
        changed_.wait_for(lock, std::max<Duration>(*wake - parts_.time.now(), Duration::zero()));
      } else {
        changed_.wait(lock);
      }
    }
  }

  // The registration hears of a new wish before it hears of what came of the try, so that it counts as broken off.
  Registration::Next carry_out(std::unique_lock<std::mutex>& lock, const Registration::Order& order) {
    patience_.emplace(order.due);
    verb_ = order.verb;
    const Leave why = here_ ? Leave::asked : why_;
    lock.unlock();
    const Told told = balancer_->tell(order.verb, why, *patience_);
    lock.lock();
    patience_.reset();
    verb_.reset();
    const TimePoint now = parts_.time.now();
    if (std::exchange(wanted_, false)) registration_.want(here_, now, parts_.chance());
    if (told.word == Told::Word::failed) failures_.add();
    if (order.verb == Verb::deregister) confirmed_ = told.word == Told::Word::done;
    const bool was_left = registration_.left();
    auto next = registration_.told(told, now, parts_.chance());
    if (registration_.left() && !was_left) left_at_ = now;
    note();
    return next;
  }

  // Says what has changed. Under the mutex: neither the log nor the alarms wait for anybody.
  void note() {
    if (registration_.left() && !said_left_) left_at_ = parts_.time.now();
    if (registration_.registered() != said_registered_) {
      said_registered_ = registration_.registered();
      up_.set(said_registered_ ? 1 : 0);
      if (said_registered_) parts_.log.notice("registered", {{"registrar", settings_.name}});
    }
    if (registration_.left() != said_left_) {
      said_left_ = registration_.left();
      if (said_left_)
        parts_.log.notice("deregistered",
                          {{"registrar", settings_.name}, {"given_up", registration_.gave_up() ? "yes" : "no"}});
    }
    const std::string& trouble = registration_.trouble();
    if (trouble == said_trouble_) return;
    said_trouble_ = trouble;
    if (trouble.empty()) {
      parts_.alarms.clear(alarm_);
    } else {
      parts_.alarms.set(alarm_, settings_.name + ": " + redact(trouble), runbook_of(settings_.type));
    }
  }

  const RegistrarSettings settings_;
  const Parts parts_;
  const std::unique_ptr<Balancer> balancer_;
  const std::string alarm_;
  const Gauge up_;
  const Counter failures_;

  mutable std::mutex mutex_;  // protects what follows
  std::condition_variable changed_;
  Registration registration_;
  bool here_ = false;
  Leave why_ = Leave::asked;
  bool wanted_ = false;  // `here_` has not been told to the registration yet
  bool stopping_ = false;
  bool confirmed_ = false;
  std::optional<Patience> patience_;  // of the try under way
  std::optional<Verb> verb_;
  TimePoint leaving_since_{}, left_at_{};
  bool said_registered_ = false, said_left_ = true;
  std::string said_trouble_;
  std::thread thread_;
};

namespace {

std::unique_ptr<Balancer> make_balancer(const RegistrarSettings& settings, const Registrars::Parts& parts) {
  switch (settings.type) {
    case RegistrarType::haproxy_agent:
      return std::make_unique<HaproxyAgent>(settings.name, settings.listen, parts.time, parts.log, parts.alarms,
                                            parts.port_survived, Networks(balancers_of(parts.settings.service)));
    case RegistrarType::haproxy_runtime:
      return std::make_unique<HaproxyRuntime>(settings.sockets, settings.server, parts.health, parts.time);
    case RegistrarType::http:
      return std::make_unique<HttpRegistrar>(settings, parts.settings.instance, parts.time);
    case RegistrarType::exec:
      return std::make_unique<ExecHook>(settings, parts.settings.instance, parts.time);
    case RegistrarType::health:
      break;
  }
  return nullptr;
}

}  // namespace

Registrars::Registrars(const Parts& parts) {
  for (const RegistrarSettings& settings : parts.settings.service.registrars) {
    if (auto balancer = make_balancer(settings, parts))
      all_.push_back(std::make_unique<One>(settings, parts, std::move(balancer)));
  }
}

Registrars::~Registrars() = default;

void Registrars::here() {
  for (auto& one : all_)
    one->want(true, Leave::asked);
}

void Registrars::leave(Leave why) {
  for (auto& one : all_)
    one->want(false, why);
}

bool Registrars::any() const noexcept { return !all_.empty(); }

bool Registrars::left() const { return word().left; }

Registrars::Word Registrars::word() const {
  Word all;
  for (const auto& one : all_) {
    const Word its = one->word();
    all.left = all.left && its.left;
    all.confirmed = all.confirmed || its.confirmed;
    all.since = std::max(all.since, its.since);
  }
  return all;
}

std::vector<std::string> Registrars::results() const {
  std::vector<std::string> texts;
  for (const auto& one : all_)
    texts.push_back(one->result());
  return texts;
}

}  // namespace ratchet::service
