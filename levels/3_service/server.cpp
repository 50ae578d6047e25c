// All state of requests belongs to the reactor's thread. The only thing shared with committers is the pointer to the
// reactor, under `gate_`: close() takes it away first and destroys the reactor afterwards, so an outcome that comes in
// that very moment either is posted to a live reactor (which runs it or throws it away) or finds none.
#include "levels/3_service/server.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <exception>
#include <mutex>
#include <system_error>
#include <utility>

#include "levels/3_service/cut_requests.hpp"
#include "levels/3_service/error_budget.hpp"
#include "levels/3_service/event_route.hpp"
#include "levels/3_service/kill_switch.hpp"
#include "levels/3_service/problem.hpp"
#include "levels/3_service/refusals.hpp"
#include "levels/3_service/routes.hpp"
#include "levels/3_service/waiting.hpp"

namespace ratchet::service {
namespace {

using db::Committed;
using http::Reactor;
using http::Request;
using http::Served;
using http::Ticket;

constexpr Duration kAliveWithin = seconds(10);  // its loop turns at least once a second
constexpr std::string_view kReplayed = "Idempotency-Replayed: true\r\n";

std::string milliseconds_text(Duration took) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  const auto fraction = std::to_string(us % 1000);
  return std::to_string(us / 1000) + '.' + std::string(3 - fraction.size(), '0') + fraction;
}

std::string breaker_id(const Route& route) { return "route.breaker." + route.settings.path; }
constexpr std::string_view kPortAlarm = "service.files";

// Whom to give up: who is not begun to be committed, or whoever still waits.
enum class GiveUp : std::uint8_t { queued, all };

}  // namespace

class Server::Inside final : public http::Service {
 public:
  explicit Inside(Parts parts);

  Result<Nothing> open();
  void close();
  KeptPort* port() noexcept { return parts_.port; }
  void give_up_soon(GiveUp which);
  std::uint64_t requests() {
    const std::lock_guard lock(gate_);
    return reactor_ == nullptr ? 0 : reactor_->counts().requests.load();
  }
  bool alive(TimePoint now) {
    const std::lock_guard lock(gate_);
    return reactor_ == nullptr || now - reactor_->turned() < kAliveWithin;
  }
  Reactor* reactor() noexcept { return reactor_.get(); }
  const CutRequests& cut() const noexcept { return cut_; }
  bool wants_reset() const noexcept { return wants_reset_.load(); }
  Result<Nothing> reset();
  bool switch_route(std::string_view path, bool on, const std::string& why) {
    return service::switch_route(routes_, path, on, why, parts_.alarms, parts_.log);
  }
  void finished(std::unique_ptr<db::FinishedBatch> batch);

  Served serve(Reactor& reactor, const Request& request) override;
  bool admit(Reactor& reactor, const Request& request) override;
  void expired(Reactor& reactor, Ticket ticket) override;
  bool is_health(const http::Head& head) const override { return Health::asks(head); }
  void accept_failed(Reactor&, int error) override;
  void was_cut(Reactor&, Ticket ticket, std::string_view begun) override {
    const Wait* const wait = waiting_.find(ticket);
    const std::string_view path = wait != nullptr ? std::string_view(wait->route->settings.path) : path_begun(begun);
    cut_.add(routes_.find(path) != nullptr ? path : "other");
  }
  void turn_ended(Reactor&) override;
  std::string refusal_body(const http::Refusal& refusal) override { return to_json(refusal); }

 private:
  // How an answer is told to metrics and to the access log.
  struct Told {
    RequestTimes& times;
    std::string_view method, path;
    TimePoint since;
    std::string_view trace_id, peer;
  };
  void end_reactor();
  Served refuse(Reactor& reactor, const Request& request, Route* route, const Problem& problem);
  Served handle(Reactor& reactor, const Request& request, Route* route);
  std::optional<Problem> by_head(const Request& request, const Route& route);
  std::optional<Problem> switched_off(const Route& route);
  std::optional<Problem> breaker_open(const Route& route);
  Problem resting(const Route& route, TimePoint now);
  std::optional<Problem> take(const Request& request, Route& route);
  Result<std::uint64_t, db::AddError> queue(const Outbox& outbox, const Request& request, Wait& wait);
  template <class Of, class F>
  void guarded(Reactor& reactor, Ticket ticket, Route* route, const Of& of, F&& handler);
  void handler_failed(Reactor& reactor, Ticket ticket, Route* route, const Told& told, const char* what);
  void probed(const Route& route, bool ran);
  void note(const Route& route, Breaker::Change change);
  void mind_port();
  void give_up(Reactor& reactor, GiveUp which);
  void give_up_one(Reactor& reactor, Wait& found, TimePoint now, GiveUp which);
  void answer_outcomes(Reactor& reactor, const db::FinishedBatch& batch);
  void answer_outcome(Reactor& reactor, const Wait& wait, const db::Outcome& outcome, TimePoint now);
  void answer_waiting(Reactor& reactor, const Wait& wait, const Problem& problem, TimePoint now);
  void respond(Reactor& reactor, Ticket ticket, Problem problem, std::string_view instance);
  Problem problem_of_outcome(const db::Outcome& outcome);
  Problem nothing_stored();
  Problem outcome_unknown();
  void count(const Problem& problem) { rejected_[static_cast<std::size_t>(problem.kind)].add(); }
  void tell(const Told& told, int status, TimePoint now);
  Told told_of(const Request& request, Route* route);
  Told told_of(const Wait& wait, Route*) { return told_of(wait); }
  Told told_of(const Wait& wait) {
    return {
        wait.route->times, "POST", wait.route->settings.path, wait.since, {wait.trace_id.data(), wait.trace_id.size()},
        wait.peer};
  }
  void forget_all();

  Parts parts_;
  const Duration request_time_;
  std::array<Counter, kProblemKinds> rejected_;
  const Counter handler_errors_, accept_errors_, resets_;
  const std::shared_ptr<std::atomic<std::size_t>> active_;  // outlives us: metrics are rendered later, too

  // The reactor thread's, while there is one.
  Routes routes_;
  RequestTimes no_route_;
  EventReader reader_;
  Waiting waiting_;
  PreparedEvent event_;
  bool added_ = false;
  bool giving_up_ = false;
  ErrorBudget budget_;
  std::optional<Breaker::Pass> probe_;  // of the request being handled, when it tries its route's breaker
  bool short_of_files_ = false;         // the port's breaker is open: answers end their connections
  std::atomic<bool> wants_reset_{false};

  CutRequests cut_;
  std::mutex gate_;
  std::unique_ptr<Reactor> reactor_;  // written under gate_ by the one who opens and closes
};

Server::Inside::Inside(Parts parts)
    : parts_(std::move(parts)),
      request_time_(parts_.settings.service.limits.request),
      handler_errors_(
          parts_.metrics.counter("ratchet_service_errors_total", "Errors of level 3's own.", {{"kind", "handler"}})),
      accept_errors_(
          parts_.metrics.counter("ratchet_service_errors_total", "Errors of level 3's own.", {{"kind", "accept"}})),
      resets_(parts_.metrics.counter("ratchet_service_resets_total", "Workers and listener made anew.")),
      active_(std::make_shared<std::atomic<std::size_t>>(0)),
      routes_(parts_.settings.routes, parts_.outboxes, parts_.metrics),
      no_route_(parts_.metrics, ""),
      reader_(parts_.time, parts_.record_limits, parts_.random, parts_.settings.service.limits.json),
      budget_(routes_.size()) {
  for (std::size_t i = 0; i < kProblemKinds; i++) {
    rejected_[i] = parts_.metrics.rejected(std::string(type_of(static_cast<ProblemKind>(i))));
  }
  const Gauge gauge = parts_.metrics.gauge("http_server_active_requests", "Requests that wait for their commit.");
  parts_.metrics.before_render([gauge, active = active_] { gauge.set(static_cast<double>(active->load())); });
  alarm_switched_off(routes_, parts_.alarms);
}

// ---- the worker of level 3 -----------------------------------------------------------------------------------------

Result<Nothing> Server::Inside::open() {
  assert(reactor_ == nullptr);
  forget_all();
  cut_.clear();
  std::unique_ptr<Reactor> reactor;
  try {
    const ServiceSettings& settings = parts_.settings.service;
    Reactor::Options options{"service", settings.limits, settings.proxy_protocol,
                             http::TrustedProxies(settings.trusted_proxies)};
    reactor = std::make_unique<Reactor>(std::move(options), *this, parts_.time, parts_.log, parts_.metrics);
  } catch (const std::system_error& error) {  // no descriptor or thread to be had
    return Fault{kTopLevel, 0, FaultKind::out_of_files, std::string("service: ") + error.what(), parts_.time.now()};
  }
  Reactor& ours = *reactor;
  {
    // Before it listens: the first outcome may come before listen() has returned.
    const std::lock_guard lock(gate_);
    reactor_ = std::move(reactor);
  }
  auto listening = parts_.port ? parts_.port->open_on(ours) : ours.listen(parts_.settings.service.listen);
  if (!listening) close();
  return listening;
}

void Server::Inside::close() {
  end_reactor();
  if (parts_.port != nullptr) parts_.port->forget();
}

void Server::Inside::end_reactor() {
  std::unique_ptr<Reactor> last;
  {
    const std::lock_guard lock(gate_);
    last = std::move(reactor_);
  }
  // The reactor runs what was posted before it ends.
  if (last != nullptr) last->post([this](Reactor& reactor) { give_up(reactor, GiveUp::all); });
  last.reset();
  forget_all();
}

Result<Nothing> Server::Inside::reset() {
  resets_.add();
  end_reactor();
  return open();
}

void Server::Inside::forget_all() {
  waiting_.forget_all();
  routes_.none_in_flight();
  active_->store(0);
  added_ = giving_up_ = short_of_files_ = false;
  budget_.reset();
  probe_.reset();
  wants_reset_ = false;
  parts_.alarms.clear(kPortAlarm);
  routes_.for_each([this](const Route& route) { parts_.alarms.clear(breaker_id(route)); });
}

void Server::Inside::give_up_soon(GiveUp which) {
  if (reactor_ != nullptr) reactor_->post([this, which](Reactor& reactor) { give_up(reactor, which); });
}

// ---- committers ----------------------------------------------------------------------------------------------------

void Server::Inside::finished(std::unique_ptr<db::FinishedBatch> batch) {
  std::shared_ptr<db::FinishedBatch> shared = std::move(batch);  // a task must be copyable
  const std::lock_guard lock(gate_);
  if (reactor_ == nullptr) return;
  reactor_->post([this, shared = std::move(shared)](Reactor& reactor) { answer_outcomes(reactor, *shared); });
}

// ---- the reactor's thread
// --------------------------------------------------------------------------------------------

Served Server::Inside::serve(Reactor& reactor, const Request& request) {
  if (short_of_files_) mind_port();
  if (parts_.health.serve(reactor, request)) return Served::answered;
  Route* const route = routes_.find(request.head.path);
  Served served = Served::answered;
  guarded(reactor, request.ticket, route, request, [&] { served = handle(reactor, request, route); });
  return served;
}

// The head is there, the body is not: what is refused anyway is refused before anybody sends, or keeps, the rest.
bool Server::Inside::admit(Reactor& reactor, const Request& request) {
  if (short_of_files_) mind_port();
  if (parts_.health.serve(reactor, request)) return false;
  Route* const route = routes_.find(request.head.path);
  bool admitted = false;
  guarded(reactor, request.ticket, route, request, [&] {
    auto problem = misdirected(request.head, route);
    if (!problem) problem = by_head(request, *route);
    admitted = !problem;
    if (problem) refuse(reactor, request, route, *problem);
  });
  return admitted;
}

Served Server::Inside::handle(Reactor& reactor, const Request& request, Route* route) {
  if (const auto problem = misdirected(request.head, route)) return refuse(reactor, request, route, *problem);
  if (const auto problem = switched_off(*route)) return refuse(reactor, request, route, *problem);
  if (const auto problem = breaker_open(*route)) return refuse(reactor, request, route, *problem);
  auto problem = too_much(*route, parts_.time, parts_.health);
  const bool ran = !problem;
  if (ran) problem = take(request, *route);
  if (probe_) probed(*route, ran);
  if (problem) return refuse(reactor, request, route, *problem);
  return Served::deferred;
}

// A breaker's probe is the request that runs, so none is leased here.
std::optional<Problem> Server::Inside::by_head(const Request& request, const Route& route) {
  if (auto problem = switched_off(route)) return problem;
  const TimePoint now = parts_.time.now();
  if (!budget_.is_closed(route.index) && now < budget_.closed_until(route.index)) return resting(route, now);
  if (auto problem = too_much(route, parts_.time, parts_.health)) return problem;
  return reader_.admit(route.settings, request.head, request.head.body_bytes);
}

std::optional<Problem> Server::Inside::switched_off(const Route& route) {
  if (giving_up_) return nothing_stored();
  if (!route.on.load(std::memory_order_relaxed))
    return problem_of(ProblemKind::route_off, "an operator has switched this route off");
  return std::nullopt;
}

// A request that may pass though the breaker is not closed is its probe.
std::optional<Problem> Server::Inside::breaker_open(const Route& route) {
  probe_.reset();
  if (budget_.is_closed(route.index)) return std::nullopt;
  const TimePoint now = parts_.time.now();
  probe_ = budget_.ask(route.index, now, parts_.chance());
  if (probe_ || budget_.is_closed(route.index)) return std::nullopt;
  return resting(route, now);
}

Problem Server::Inside::resting(const Route& route, TimePoint now) {
  const Duration left = budget_.closed_until(route.index) - now;
  return with_retry(problem_of(ProblemKind::breaker_open, "nothing was stored: this route failed too often of late"),
                    std::max(kRetrySoon, static_cast<int>(std::chrono::ceil<seconds>(left).count())));
}

// ---- the error budget (error_budget.hpp) ---------------------------------------------------------------------------

// An exception that leaves a handler says nothing about the next request, but everything about this one.
// `of`: what the handler works on, a request or a wait.
template <class Of, class F>
void Server::Inside::guarded(Reactor& reactor, Ticket ticket, Route* route, const Of& of, F&& handler) {
  try {
    handler();
  } catch (const std::exception& error) {
    handler_failed(reactor, ticket, route, told_of(of, route), error.what());
  }
}

void Server::Inside::handler_failed(Reactor& reactor, Ticket ticket, Route* route, const Told& told, const char* what) {
  const TimePoint now = parts_.time.now();
  const auto probe = std::exchange(probe_, std::nullopt);
  try {
    handler_errors_.add();
    if (route != nullptr) note(*route, budget_.failed(route->index, probe, now, parts_.chance()));
    parts_.log.error("a handler failed", {{"path", std::string(told.path)}, {"what", what}});
    auto problem = problem_of(ProblemKind::internal_error,
                              "it is not known what became of the request: send it again with the same "
                              "Idempotency-Key, or ce-source and ce-id");
    problem.close = true;
    count(problem);
    tell(told, problem.status, now);
    answer(reactor, ticket, problem, told.path);
  } catch (const std::exception&) {  // not even memory for that answer
    reactor.abandon(ticket);
  }
}

void Server::Inside::probed(const Route& route, bool ran) {
  const auto probe = *std::exchange(probe_, std::nullopt);
  const auto outcome = ran ? Breaker::Call::good : Breaker::Call::nothing;
  note(route, budget_.probed(route.index, probe, outcome, parts_.time.now(), parts_.chance()));
}

void Server::Inside::note(const Route& route, Breaker::Change change) {
  if (change == Breaker::Change::opened) {
    if (budget_.wants_reset()) wants_reset_ = true;
    parts_.alarms.set(breaker_id(route), "route " + route.settings.path + " rests: its handler failed too often",
                      "the log names each failure (\"a handler failed\"); it tries again by itself");
  } else if (change == Breaker::Change::closed) {
    parts_.alarms.clear(breaker_id(route));
  }
}

void Server::Inside::accept_failed(Reactor&, int error) {
  accept_errors_.add();
  if (budget_.accept_failed(parts_.time.now(), parts_.chance()) != Breaker::Change::opened) return;
  short_of_files_ = true;
  if (budget_.wants_reset()) wants_reset_ = true;
  parts_.alarms.set(kPortAlarm, "connections cannot be accepted: " + std::generic_category().message(error),
                    "raise LimitNOFILE (or memory), or lower service.limits.connections");
}

void Server::Inside::mind_port() {
  short_of_files_ = budget_.port_is_open(parts_.time.now(), parts_.chance());
  if (!short_of_files_) parts_.alarms.clear(kPortAlarm);
}

// ---- requests, outcomes --------------------------------------------------------------------------------------------

// Empty: the event is in the commit queue, and its request waits.
std::optional<Problem> Server::Inside::take(const Request& request, Route& route) {
  if (auto problem = reader_.read(route.settings, request, event_)) return problem;
  const Outbox* const outbox = route.usable();
  if (outbox == nullptr) return not_connected(route, parts_.time, parts_.health);
  Wait& wait = waiting_.begin(request.ticket, route);
  wait.peer.clear();
  const auto added = queue(*outbox, request, wait);
  if (!added) {
    waiting_.end(wait);
    if (added.error() == db::AddError::queue_full) {
      auto problem = problem_of(ProblemKind::commit_queue, "nothing was stored: too many bytes wait for their commit");
      problem.limit = parts_.settings.outbox.queue_bytes;
      return with_retry(std::move(problem), kRetrySoon);
    }
    return not_connected(route, parts_.time, parts_.health);  // lost in this moment; the next request goes to the next pool
  }
  wait.outbox = outbox;
  wait.place = *added;
  wait.since = request.deadline - request_time_;
  event_.trace_id.copy(wait.trace_id.data(), wait.trace_id.size());
  active_->store(waiting_.size(), std::memory_order_relaxed);
  added_ = true;
  return std::nullopt;
}

// After the event is queued nothing may throw: its outcome must find who waits for it.
Result<std::uint64_t, db::AddError> Server::Inside::queue(const Outbox& outbox, const Request& request, Wait& wait) {
  try {
    if (parts_.settings.log.access) wait.peer = request.peer;
    return outbox.commits.add(event_.event, wait.token);
  } catch (...) {  // no memory: the handler has failed, and nobody waits
    waiting_.end(wait);
    throw;
  }
}

Served Server::Inside::refuse(Reactor& reactor, const Request& request, Route* route, const Problem& problem) {
  count(problem);
  tell(told_of(request, route), problem.status, parts_.time.now());
  respond(reactor, request.ticket, problem, request.head.path);
  return Served::answered;
}

Server::Inside::Told Server::Inside::told_of(const Request& request, Route* route) {
  const auto trace = request.head.header("traceparent");
  const bool traced = trace && is_trace_parent(*trace);
  return {route != nullptr ? route->times : no_route_,
          request.head.method,
          request.head.path,
          request.deadline - request_time_,
          traced ? trace->substr(3, 32) : std::string_view(),
          request.peer};
}

void Server::Inside::turn_ended(Reactor&) {
  if (!std::exchange(added_, false)) return;
  for (const auto& outbox : parts_.outboxes)
    outbox.commits.wake();
}

void Server::Inside::answer_outcomes(Reactor& reactor, const db::FinishedBatch& batch) {
  const TimePoint now = parts_.time.now();
  for (const auto& outcome : batch.outcomes()) {
    Wait* const found = waiting_.find(outcome.token);
    if (found == nullptr) continue;
    // A copy: answering may serve the connection's next request, which begins to wait, too.
    const Wait wait = std::move(*found);
    waiting_.end(*found);
    active_->store(waiting_.size(), std::memory_order_relaxed);
    if (wait.answered) continue;
    guarded(reactor, wait.ticket, wait.route, wait, [&] { answer_outcome(reactor, wait, outcome, now); });
  }
}

void Server::Inside::answer_outcome(Reactor& reactor, const Wait& wait, const db::Outcome& outcome, TimePoint now) {
  const bool replayed = outcome.committed == Committed::duplicate;
  if (outcome.committed != Committed::stored && !replayed) {
    return answer_waiting(reactor, wait, problem_of_outcome(outcome), now);
  }
  tell(told_of(wait), 202, now);
  reactor.answer(wait.ticket, {202, "application/json", outcome.reply, replayed ? kReplayed : "", short_of_files_});
}

void Server::Inside::answer_waiting(Reactor& reactor, const Wait& wait, const Problem& problem, TimePoint now) {
  count(problem);
  tell(told_of(wait), problem.status, now);
  respond(reactor, wait.ticket, problem, wait.route->settings.path);
}

void Server::Inside::respond(Reactor& reactor, Ticket ticket, Problem problem, std::string_view instance) {
  problem.close = problem.close || short_of_files_;
  answer(reactor, ticket, problem, instance);
}

Problem Server::Inside::nothing_stored() {
  return with_retry(problem_of(ProblemKind::nothing_stored, "the event was not stored and will not be: send it again"),
                    parts_.health.retry_after());
}

Problem Server::Inside::outcome_unknown() {
  return with_retry(
      problem_of(ProblemKind::outcome_unknown,
                 "the event may or may not have been stored: send it again with the same Idempotency-Key, or "
                 "ce-source and ce-id; without them it may be stored twice"),
      parts_.health.retry_after());
}

Problem Server::Inside::problem_of_outcome(const db::Outcome& outcome) {
  switch (outcome.committed) {
    case Committed::mismatch:
      return problem_of(ProblemKind::idempotency_key_reused,
                        "this key came with another event before: the topic, the record's key, the body or an "
                        "attribute is not the same");
    case Committed::in_progress:
      return with_retry(
          problem_of(ProblemKind::idempotency_in_progress, "another request with this key is being committed"),
          kRetrySoon);
    case Committed::refused:
      return refused_row(outcome.reply);
    case Committed::nothing_stored:
      return nothing_stored();
    case Committed::outcome_unknown:
      return outcome_unknown();
    case Committed::stored:
    case Committed::duplicate:
      break;
  }
  assert(false);
  return outcome_unknown();
}

void Server::Inside::expired(Reactor& reactor, Ticket ticket) {
  Wait* const found = waiting_.find(ticket);
  assert(found != nullptr);
  if (found == nullptr) return answer(reactor, ticket, outcome_unknown(), "");
  give_up_one(reactor, *found, parts_.time.now(), GiveUp::all);
}

void Server::Inside::give_up(Reactor& reactor, GiveUp which) {
  giving_up_ = true;
  const TimePoint now = parts_.time.now();
  for (const std::uint64_t token : waiting_.unanswered()) {
    if (Wait* const found = waiting_.find(token)) give_up_one(reactor, *found, now, which);
  }
}

void Server::Inside::give_up_one(Reactor& reactor, Wait& found, TimePoint now, GiveUp which) {
  const Wait wait = found;
  const bool withdrawn = wait.outbox->commits.withdraw(wait.place, wait.token);
  if (withdrawn) {
    waiting_.end(found);
  } else if (which == GiveUp::all) {
    found.answered = true;
  } else {
    return;
  }
  active_->store(waiting_.size(), std::memory_order_relaxed);
  guarded(reactor, wait.ticket, wait.route, wait,
          [&] { answer_waiting(reactor, wait, withdrawn ? nothing_stored() : outcome_unknown(), now); });
}

void Server::Inside::tell(const Told& told, int status, TimePoint now) {
  const Duration took = now - told.since;
  told.times.observe(status, took);
  if (!parts_.settings.log.access) return;
  parts_.log.each("request", {{"method", std::string(told.method)},
                              {"path", std::string(told.path)},
                              {"status", std::to_string(status)},
                              {"ms", milliseconds_text(took)},
                              {"trace", std::string(told.trace_id)},
                              {"peer", std::string(told.peer)}});
}

// ---- outside -------------------------------------------------------------------------------------------------------

Server::Server(Parts parts) : inside_(std::make_unique<Inside>(std::move(parts))) {}
Server::~Server() { close(); }
Result<Nothing> Server::open() { return inside_->open(); }
KeptPort* Server::port() noexcept { return inside_->port(); }
http::Reactor* Server::reactor() noexcept { return inside_->reactor(); }
std::uint64_t Server::requests() { return inside_->requests(); }
bool Server::alive(TimePoint now) { return inside_->alive(now); }
void Server::close() { inside_->close(); }
bool Server::wants_reset() const noexcept { return inside_->wants_reset(); }
Result<Nothing> Server::reset() { return inside_->reset(); }
bool Server::switch_route(std::string_view path, bool on, const std::string& why) {
  return inside_->switch_route(path, on, why);
}
std::string Server::cut_by_route() { return inside_->cut().text(); }
void Server::give_up_queued() { inside_->give_up_soon(GiveUp::queued); }
void Server::give_up_all() { inside_->give_up_soon(GiveUp::all); }
void Server::finished(std::unique_ptr<db::FinishedBatch> batch) { inside_->finished(std::move(batch)); }

}  // namespace ratchet::service
