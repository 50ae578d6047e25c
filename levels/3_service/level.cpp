#include "levels/3_service/level.hpp"

#include "levels/3_service/drain.hpp"
#include "levels/3_service/problem.hpp"

namespace ratchet::service {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kStuck = seconds(2);  // its loop turns at least once a second: 1 s past that
constexpr std::size_t kWorkers = 1;      // the reactor

class HeldService final : public HeldLevel {
 public:
  HeldService(Server& server, Health& health, const DrainSettings& drain, const Waiters& waiters,
              const TimeSource& time, Log& log, std::atomic<std::uint64_t>& cut, Registrars* registrars,
              ProbeSecret* probe_secret, Incarnation incarnation)
      : server_(server),
        health_(health),
        drain_(drain),
        waiters_(waiters),
        time_(time),
        log_(log),
        cut_(cut),
        registrars_(registrars),
        probe_secret_(probe_secret),
        incarnation_(incarnation),
        open_since_(time.now()) {
    if (registrars_ != nullptr) registrars_->here();
  }
  HeldService(const HeldService&) = delete;
  HeldService& operator=(const HeldService&) = delete;
  ~HeldService() override {
    // Had it not been drained. A restart tells nobody: the next process serves whom it still sends.
    if (registrars_ != nullptr && !handed_over_) registrars_->leave(Leave::fault);
    server_.close();
    health_.set_draining(false);  // from here on the board alone says why we are not ready
  }

  std::optional<Fault> probe(Patience&) override {
    if (server_.reactor() == nullptr) return reset();  // the last one did not come up again
    const TimePoint now = time_.now();
    if (probe_secret_ != nullptr) probe_secret_->renew(now);
    const Duration still = now - server_.reactor()->turned();
    const bool stuck = still > kStuck;
    const std::string why =
        stuck ? "the reactor has not turned for " + std::to_string(duration_cast<milliseconds>(still).count()) + " ms"
              : "its error budget is spent";
    switch (resets_.look(server_.wants_reset(), stuck ? 1 : 0, kWorkers, now)) {
      case Resets::Verdict::well:
        return std::nullopt;
      case Resets::Verdict::suspect:
        return fault(stuck, why);
      case Resets::Verdict::reset:
        log_.error("level 3: workers and listener are made anew", {{"why", why}});
        return reset();
      case Resets::Verdict::fault:
        return fault(stuck, why + ", for the third time in 60 s");
    }
    return std::nullopt;
  }

  void drain(Patience& patience, Leave leave) override {
    if (server_.reactor() == nullptr) return;
    http::Reactor& reactor = *server_.reactor();
    KeptPort* const port = server_.port();
    const bool restart = leave == Leave::asked && port != nullptr && port->is_restart();
    handed_over_ = restart;
    const DrainReport report =
        restart ? hand_over(reactor, health_, drain_, time_, patience, waiters_, [port] { port->leave(); })
        : leave == Leave::asked
            ? service::drain(reactor, health_, drain_, time_, patience, waiters_, registrars_, open_since_)
            : fall(reactor, health_, refusal(), time_, patience, waiters_, registrars_);
    cut_ += report.cut_requests;
    log_.notice(restart                 ? "level 3 left to the next process"
                : leave == Leave::asked ? "level 3 drained"
                                        : "level 3 fell",
                {{"stages", to_string(report)}});
  }

 private:
  std::optional<Fault> reset() {
    auto opened = server_.reset();
    return opened ? std::nullopt : std::optional(std::move(opened).error());
  }

  Fault fault(bool stuck, const std::string& why) const {
    return {kTopLevel, incarnation_, stuck ? FaultKind::timed_out : FaultKind::service_errors, "service: " + why,
            time_.now()};
  }

  std::string refusal() const {
    Problem problem = problem_of(ProblemKind::unavailable, "this instance is going down a level");
    problem.retry_after_s = health_.retry_after();
    problem.close = true;
    return to_response(problem, "");
  }

  Server& server_;
  Health& health_;
  const DrainSettings& drain_;
  const Waiters& waiters_;
  const TimeSource& time_;
  Log& log_;
  std::atomic<std::uint64_t>& cut_;
  Registrars* const registrars_;
  ProbeSecret* const probe_secret_;
  const Incarnation incarnation_;
  const TimePoint open_since_;
  bool handed_over_ = false;
  Resets resets_;
};

}  // namespace

ServiceLevel::ServiceLevel(Server& server, Health& health, const DrainSettings& drain, std::function<bool()> can_commit,
                           const TimeSource& time, Log& log, Registrars* registrars, ProbeSecret* probe_secret)
    : server_(server),
      health_(health),
      drain_(drain),
      waiters_{std::move(can_commit),
               [&server] { server.give_up_queued(); },
               [&server] { server.give_up_all(); },
               [&server] {
                 if (server.port() != nullptr) server.port()->forget();
               },
               [&server] { return server.cut_by_route(); },
               [&log](const std::string& what, Duration at_most) {
                 log.notice("leaving level 3 takes a while",
                            {{"waits_for", what},
                             {"at_most_ms", std::to_string(duration_cast<milliseconds>(at_most).count())},
                             {"to_end_it", "a second SIGTERM or Ctrl-C"}});
               }},
      time_(time),
      log_(log),
      registrars_(registrars),
      probe_secret_(probe_secret) {}

Duration ServiceLevel::raise_patience() const noexcept { return seconds(5); }

ProbePlan ServiceLevel::probe_plan() const noexcept { return {seconds(1), seconds(1), 2}; }

Result<std::unique_ptr<HeldLevel>> ServiceLevel::raise(Patience&, Incarnation incarnation) {
  if (probe_secret_ != nullptr) probe_secret_->renew(time_.now());
  // Before the port opens: nobody may be told that we drain once we serve. The board still says not ready.
  health_.set_draining(false);
  if (auto opened = server_.open(); !opened) {
    Fault fault = std::move(opened).error();
    fault.level = kTopLevel;
    fault.incarnation = incarnation;
    if (fault.text.rfind("service: ", 0) != 0) fault.text = "service: " + fault.text;
    return fault;
  }
  return std::unique_ptr<HeldLevel>(std::make_unique<HeldService>(server_, health_, drain_, waiters_, time_, log_, cut_,
                                                                  registrars_, probe_secret_, incarnation));
}

}  // namespace ratchet::service
