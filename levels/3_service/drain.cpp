#include "levels/3_service/drain.hpp"

#include <algorithm>
#include <utility>

#include "levels/3_service/pause.hpp"

namespace ratchet::service {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kBalancerCap{15'000};
constexpr milliseconds kGuessedInterval{2000};  // HAProxy's default, while only one probe has been seen
constexpr int kFall = 3;                        // failed probes until a balancer believes it (HAProxy's default)
constexpr seconds kNobodyProbes{60};
constexpr seconds kSettled{60};        // by then a balancer has asked often enough to be known
constexpr milliseconds kAMoment{300};  // a wait that is over by then is nothing to tell
constexpr seconds kFirstProbe{3};      // of a balancer that sends requests already
constexpr milliseconds kLateWhenIdle{300};
constexpr milliseconds kLateAtRestart{200};  // more than a busy client's pause, and its round trip
constexpr milliseconds kHangUp{50};          // for clients that were told Connection: close
constexpr milliseconds kReserve{2000};       // for the pools and the exit
constexpr milliseconds kRefuse{300};
constexpr milliseconds kFinish{2000};  // for what is committed while only the broker is gone
constexpr milliseconds kFallTotal{3000};
constexpr milliseconds kLastWords{200};      // between telling whoever still waits and cutting
constexpr milliseconds kPortPatience{3000};  // the reactor sweeps for at most 2 s
constexpr milliseconds kCutPatience{1000};

class Leaving {
 public:
  Leaving(http::Reactor& reactor, Health& health, const TimeSource& time, Patience& patience, const Waiters& waiters,
          Registrars* registrars = nullptr, std::optional<TimePoint> open_since = std::nullopt)
      : reactor_(reactor),
        health_(health),
        time_(time),
        patience_(patience),
        waiters_(waiters),
        registrars_(registrars),
        open_since_(open_since),
        began_(time.now()),
        cut_before_(reactor.counts().cut.load()) {}

  void announce(Leave why) {
    const TimePoint from = time_.now();
    health_.set_draining(true);
    if (registrars_ != nullptr) registrars_->leave(why);
    reactor_.announce_close();
    note("announce", from, "done");
  }

  void refuse(std::string answer) {
    const TimePoint from = time_.now();
    reactor_.refuse_all(std::move(answer));
    const Ended ended = wait_for([] { return false; }, from + kRefuse, time_, patience_);
    note("refuse", from, ended == Ended::impatient ? "out of patience" : "time");
  }

  // True: every node said that it has stopped and has nothing open. Registrars are waited for in any case: whoever is
  // told by them may not ask us at all.
  bool balancer(const std::optional<milliseconds>& wanted, TimePoint latest) {
    const TimePoint from = time_.now();
    const bool none = wanted && *wanted == milliseconds::zero();
    if (none && !has_registrars()) {
      note("balancer", from, "not wanted");
      return false;
    }
    std::string why;
    const auto said = [&] {
      if (!registrars_have_left()) return false;
      if (none) why = "registrars have left";
      return none || (!wanted && balancers_are_done(from, why));
    };
    const TimePoint until = std::min(latest, from + (none ? kBalancerCap : wanted.value_or(kBalancerCap)));
    switch (wait_telling(said, until, [&] { return sought(none, wanted); })) {
      case Ended::true_now:
        break;
      case Ended::in_time:
        why = wanted && !none && until < latest ? "waited as configured" : "cap";
        break;
      case Ended::impatient:
        why = "out of patience";
        break;
    }
    const bool idle = !wanted && balancers().all_idle;
    note("balancer", from, why);
    return idle;
  }

  void close_port() {
    const TimePoint from = time_.now();
    const auto& requests = reactor_.counts().requests;
    requests_before_ = requests.load();
    waiters_.closing_port();
    reactor_.close_port();
    const auto closed = [&] {
      const std::uint64_t seen = requests.load();
      if (reactor_.port_closed()) return true;
      requests_before_ = seen;  // of the last look at which it was still open: no late request is missed
      return false;
    };
    const Ended ended = wait_for(closed, from + kPortPatience, time_, patience_);
    note("close port", from, ended == Ended::true_now ? "closed" : "not yet closed");
  }

  void leave_port(const std::function<void()>& left) {
    const TimePoint from = time_.now();
    reactor_.announce_close();
    requests_before_ = reactor_.counts().requests.load();
    reactor_.leave_port();
    const Ended ended = wait_for([this] { return reactor_.port_closed(); }, from + kPortPatience, time_, patience_);
    left();
    note("leave port", from, ended == Ended::true_now ? "kept" : "not yet left");
  }

  void late(Duration length, TimePoint latest) {
    const TimePoint from = time_.now();
    const Ended ended = wait_for([this] { return nobody(); }, std::min(latest, from + length), time_, patience_);
    note("late", from,
         ended == Ended::true_now  ? "no connection"
         : ended == Ended::in_time ? "time"
                                   : "out of patience");
  }

  void finish(TimePoint latest) {
    const TimePoint from = time_.now();
    const auto over = [this] { return reactor_.counts().deferred.load() == 0 || !waiters_.can_commit(); };
    const Ended ended = wait_for(over, latest, time_, patience_);
    waiters_.give_up_queued();
    note("finish", from,
         ended == Ended::true_now  ? (waiters_.can_commit() ? "none waits" : "cannot commit")
         : ended == Ended::in_time ? "time"
                                   : "out of patience");
  }

  void requests(TimePoint latest) {
    const TimePoint from = time_.now();
    reactor_.finish_idle();
    const auto clients = [this] { return std::to_string(reactor_.counts().open.load()) + " connections to be done"; };
    const Ended ended = wait_telling([this] { return nobody(); }, latest, clients);
    sum_up(from, ended);
  }

  // As requests(), but who has been answered and does not hang up is not waited for.
  void requests_only(TimePoint latest) {
    const TimePoint from = time_.now();
    reactor_.finish_idle();
    const auto done = [&] { return nobody() || (reactor_.counts().busy.load() == 0 && time_.now() - from >= kHangUp); };
    sum_up(from, wait_for(done, latest, time_, patience_));
  }

  TimePoint began() const noexcept { return began_; }
  DrainReport take_report() { return std::move(report_); }

 private:
  void sum_up(TimePoint from, Ended ended) {
    if (ended != Ended::true_now) cut();
    report_.late_requests = reactor_.counts().requests.load() - requests_before_;
    report_.cut_requests = reactor_.counts().cut.load() - cut_before_;
    if (report_.cut_requests > 0) report_.cut_by_route = waiters_.cut_by_route();
    if (registrars_ != nullptr) report_.registrars = registrars_->results();
    note("requests", from,
         ended == Ended::true_now  ? "none left"
         : ended == Ended::in_time ? "cap"
                                   : "out of patience");
  }

  // What is still open gets no more patience, only the moment that the reactor needs to close it.
  void cut() {
    waiters_.give_up_all();
    Patience own(time_.now() + kCutPatience);
    wait_for([this] { return nobody(); }, time_.now() + kLastWords, time_, own);
    reactor_.cut();
    wait_for([this] { return nobody() && reactor_.port_closed(); }, own.deadline(), time_, own);
  }

  bool nobody() const noexcept { return reactor_.counts().open.load() == 0; }

  // As wait_for; `what` is told once, if that takes longer than a moment.
  template <class Condition, class What>
  Ended wait_telling(Condition&& condition, TimePoint until, What&& what) {
    const TimePoint tell_at = std::min(until, time_.now() + kAMoment);
    const Ended soon = wait_for(condition, tell_at, time_, patience_);
    if (soon != Ended::in_time || tell_at == until) return soon;
    waiters_.tell(what(), until - tell_at);
    return wait_for(condition, until, time_, patience_);
  }

  // For people: what the balancer's stage still waits for.
  std::string sought(bool none, const std::optional<milliseconds>& wanted) const {
    if (!registrars_have_left()) return "registrars to be told";
    if (wanted && !none) return "lb_wait to be over";
    const Health::Balancers all = balancers();
    if (all.nodes > 0) return "HAProxy to say that it sends no more (" + all.waits_for + ")";
    if (all.last_probe && time_.now() - *all.last_probe <= kNobodyProbes) {
      const auto ms = duration_cast<milliseconds>(all.interval.value_or(kGuessedInterval)).count();
      return std::to_string(kFall + 1) + " probe intervals of " + std::to_string(ms) + " ms (" +
             (all.slowest.empty() ? "unix:" : all.slowest) + " asks /ready)";
    }
    return "a balancer that may just have been started";
  }

  Health::Balancers balancers() const {
    return health_.balancers(open_since_ && time_.now() - *open_since_ > kSettled);
  }

  bool balancers_are_done(TimePoint from, std::string& why) const {
    const Health::Balancers all = balancers();
    const TimePoint now = time_.now();
    if (all.nodes > 0) {
      why = std::to_string(all.nodes) + (all.nodes == 1 ? " node" : " nodes") + " stopped and idle";
      return all.all_idle;
    }
    if (!all.last_probe || now - *all.last_probe > kNobodyProbes) {
      if (open_since_ && now - *open_since_ < kFirstProbe && reactor_.counts().requests.load() > 0) return false;
      if (all.doubt_until && now < *all.doubt_until) return false;
      why = has_registrars() ? "registrars have left, nobody probes" : "nobody probes";
      return true;
    }
    if (registrars_ended_probes(all, now)) {
      why = "registrars have left, probes have ended";
      return true;
    }
    why = std::to_string(kFall + 1) + " probe intervals";
    return now - from >= (kFall + 1) * all.interval.value_or(kGuessedInterval);
  }

  bool has_registrars() const noexcept { return registrars_ != nullptr && registrars_->any(); }
  bool registrars_have_left() const { return registrars_ == nullptr || registrars_->left(); }

  // Who was told by a registrar and has not asked since, for longer than it used to wait, will not ask again.
  bool registrars_ended_probes(const Health::Balancers& all, TimePoint now) const {
    if (!has_registrars()) return false;
    const Registrars::Word word = registrars_->word();
    const Duration interval = all.interval.value_or(kGuessedInterval);
    return word.confirmed && *all.last_probe < word.since && now - *all.last_probe >= interval + interval / 2;
  }

  void note(std::string_view stage, TimePoint from, std::string ended_by) {
    report_.stages.push_back({stage, time_.now() - from, std::move(ended_by)});
  }

  http::Reactor& reactor_;
  Health& health_;
  const TimeSource& time_;
  Patience& patience_;
  const Waiters& waiters_;
  Registrars* const registrars_;
  const std::optional<TimePoint> open_since_;
  const TimePoint began_;
  const std::uint64_t cut_before_;
  std::uint64_t requests_before_ = 0;
  DrainReport report_;
};

}  // namespace

std::string to_string(const DrainReport& report) {
  std::string line;
  for (const StageReport& stage : report.stages) {
    line.append(stage.stage).append(" ").append(std::to_string(duration_cast<milliseconds>(stage.took).count()));
    line.append(" ms (").append(stage.ended_by).append("), ");
  }
  line += "late=" + std::to_string(report.late_requests) + " cut=" + std::to_string(report.cut_requests);
  if (!report.cut_by_route.empty()) line += " (" + report.cut_by_route + ")";
  for (const std::string& registrar : report.registrars)
    line.append(", ").append(registrar);
  return line;
}

DrainReport drain(http::Reactor& reactor, Health& health, const DrainSettings& settings, const TimeSource& time,
                  Patience& patience, const Waiters& waiters, Registrars* registrars,
                  std::optional<TimePoint> open_since) {
  Leaving leaving(reactor, health, time, patience, waiters, registrars, open_since);
  const TimePoint requests_end = leaving.began() + settings.total - settings.flush - kReserve;
  const TimePoint late_end = requests_end - settings.requests;
  leaving.announce(Leave::asked);
  const bool idle = leaving.balancer(settings.lb_wait, late_end - settings.late);
  leaving.close_port();
  leaving.late(idle ? std::min(settings.late, kLateWhenIdle) : settings.late, late_end);
  leaving.requests(std::min(requests_end, time.now() + settings.requests));
  return leaving.take_report();
}

DrainReport hand_over(http::Reactor& reactor, Health& health, const DrainSettings& settings, const TimeSource& time,
                      Patience& patience, const Waiters& waiters, const std::function<void()>& left) {
  Leaving leaving(reactor, health, time, patience, waiters);
  leaving.leave_port(left);
  leaving.late(std::min<Duration>(settings.late, kLateAtRestart), leaving.began() + settings.total);
  leaving.requests_only(time.now() + settings.requests);
  return leaving.take_report();
}

DrainReport fall(http::Reactor& reactor, Health& health, std::string answer, const TimeSource& time, Patience& patience,
                 const Waiters& waiters, Registrars* registrars) {
  Leaving leaving(reactor, health, time, patience, waiters, registrars);
  leaving.announce(Leave::fault);
  if (!waiters.can_commit()) waiters.give_up_queued();
  leaving.refuse(std::move(answer));
  leaving.close_port();
  leaving.finish(leaving.began() + kFinish);
  leaving.requests(leaving.began() + kFallTotal);
  return leaving.take_report();
}

}  // namespace ratchet::service
