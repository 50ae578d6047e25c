#include "tests/simulation/run.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/simulation/process.hpp"

namespace ratchet::simulation {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Duration kPromise = std::max(Duration(seconds(10)), Duration(seconds(2) + 2 * seconds(1) + seconds(3))) +
                          BackoffSettings{}.cap + seconds(1);

namespace {

constexpr auto kDelivery =
    seconds(40);                     // and from then on until everything is in Kafka: lease 10 s, asking 2 s, backlog
constexpr auto kCalm = seconds(15);  // so long nobody may flap
constexpr auto kLook = milliseconds(500);
const Duration kLongestStop = DrainSettings{}.total + seconds(1) + kLook + seconds(1);  // and the start after it
constexpr int kKeys = 4;

// A log that nobody reads.
struct NoLog {
  explicit NoLog(const TimeSource& time) : log(LogSettings{}, time, fd) { log.set_level(Severity::error); }
  ~NoLog() { ::close(fd); }
  NoLog(const NoLog&) = delete;
  NoLog& operator=(const NoLog&) = delete;
  int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log;
};

class Run {
 public:
  Run(std::uint64_t seed, std::function<void(const std::string&)> say) : world_(seed, std::move(say)) {}

  Outcome go() {
    daemons_.resize(static_cast<std::size_t>(1 + world_.dice.below(3)));
    for (std::size_t i = 0; i < daemons_.size(); ++i)
      start(i);
    for (int key = 0; key < kKeys; ++key)
      next_event(key);
    write_script();
    watch();
    const TimePoint began = world_.time.now();
    const TimePoint heal_at = began + world_.dice.between(seconds(20), seconds(90));
    go_until(heal_at);
    heal();
    go_until(heal_at + kPromise);
    for (const auto& daemon : daemons_)
      if (!late_start(daemon))
        world_.judge.must(daemon->serves(), "when faults stop, level 3 within the promised time");
    calm_ = true;
    go_until(heal_at + kPromise + kCalm);
    posting_ = false;
    const TimePoint end = heal_at + kPromise + kCalm + kDelivery;
    while (!delivered() && !world_.judge.violation() && world_.time.now() < end)
      go_until(world_.time.now() + seconds(1));
    if (stopping_at_heal_) go_until(std::max(world_.time.now(), heal_at + kLongestStop + kPromise));
    for (const auto& daemon : daemons_)
      world_.judge.must(daemon && daemon->serves(), "in the end all serve");
    verdict();
    outcome_.violation = world_.judge.violation();
    outcome_.digest = world_.judge.digest();
    outcome_.simulated = world_.time.now() - began;
    outcome_.acknowledged = acknowledged_.size();
    outcome_.published = world_.broker.records();
    return outcome_;
  }

 private:
  using Daemon = std::unique_ptr<Process>;

  void go_until(TimePoint end) {
    while (!world_.judge.violation() && world_.time.step(end)) {
    }
  }

  // ---- daemons, and the systemd that starts them again
  void start(std::size_t i) {
    if (daemons_[i]) return;
    ++outcome_.starts;
    daemons_[i] = std::make_unique<Process>(world_, static_cast<int>(i), quiet_.log);
    started_at_[i] = world_.time.now();
  }
  void bury(std::size_t i, Duration restart_after) {
    daemons_[i].reset();
    world_.time.after(restart_after, [this, i] { start(i); });
  }
  void watch() {
    for (std::size_t i = 0; i < daemons_.size(); ++i) {
      if (!daemons_[i]) continue;
      daemons_[i]->look();
      if (calm_)
        world_.judge.must(late_start(daemons_[i]) || daemons_[i]->serves(), "no flapping once faults have stopped");
      world_.judge.must(!calm_ || daemons_[i]->end() != Process::End::aborted,
                        "nobody aborts once faults have stopped");
      if (daemons_[i]->end()) bury(i, milliseconds(100));
    }
    world_.time.after(kLook, [this] { watch(); });
  }
  // One that was stopping when the faults stopped has its drain's time first.
  bool late_start(const Daemon& daemon) const {
    if (!daemon || daemon->stopping()) return true;
    return world_.time.now() < started_at_[static_cast<std::size_t>(
                                   std::find(daemons_.begin(), daemons_.end(), daemon) - daemons_.begin())] +
                                   kPromise;
  }
  Process* any() {
    Daemon& daemon = daemons_[static_cast<std::size_t>(world_.dice.below(static_cast<int>(daemons_.size())))];
    return daemon && !daemon->end() ? daemon.get() : nullptr;
  }

  // ---- clients: one for each key, an event after the other, through a balancer that asks who is ready
  void next_event(int key) {
    world_.time.after(world_.dice.between(milliseconds(5), milliseconds(250)), [this, key] {
      if (!posting_) return;
      Process* daemon = any();
      if (daemon == nullptr || !daemon->serves()) {
        next_event(key);
        return;
      }
      const std::int64_t event = (key + 1) * 1'000'000'000LL + ++events_;
      if (world_.dice.one_in(150)) world_.broker.mark_poison(event);
      daemon->post(std::to_string(key), event, [this, key, event](bool accepted) {
        if (accepted) acknowledged_.emplace(event, key);
        next_event(key);
      });
    });
  }
  bool delivered() const {
    return std::all_of(acknowledged_.begin(), acknowledged_.end(), [this](const auto& entry) {
      return world_.broker.has(entry.first) || world_.database.is_buried(entry.first);
    });
  }
  void verdict() {
    for (const auto& [event, key] : acknowledged_) {
      const bool poison = world_.broker.is_poison(event);
      const bool buried = world_.database.is_buried(event);
      outcome_.buried += buried ? 1 : 0;
      world_.judge.must(buried || world_.broker.has(event), "nothing acknowledged is lost",
                        "event " + std::to_string(event));
      world_.judge.must(buried == poison, "only what the broker never takes is buried",
                        "event " + std::to_string(event));
    }
    for (int key = 0; key < kKeys; ++key) {
      std::int64_t before = 0;
      for (const std::int64_t event : world_.broker.first_occurrences(std::to_string(key))) {
        if (acknowledged_.count(event) == 0) continue;
        world_.judge.must(event > before, "first occurrences of a key arrive in order",
                          "event " + std::to_string(event));
        before = event;
      }
    }
  }

  // ---- the script
  Duration a_while() {
    switch (world_.dice.below(3)) {
      case 0:
        return world_.dice.between(milliseconds(20), milliseconds(400));
      case 1:
        return world_.dice.between(milliseconds(400), seconds(4));
      default:
        return world_.dice.between(seconds(4), seconds(25));
    }
  }
  // A random half of the kinds of trouble, each at its own pace: what always comes together hides what comes alone.
  void often(std::function<void()> trouble) {
    if (world_.dice.one_in(2)) again(world_.dice.between(seconds(1), seconds(20)), std::move(trouble));
  }
  void again(Duration pace, std::function<void()> trouble) {
    world_.time.after(world_.dice.between(milliseconds(1), 2 * pace), [this, pace, trouble] {
      if (healed_) return;
      ++outcome_.faults;
      trouble();
      again(pace, trouble);
    });
  }
  void database_is(Database::Mood mood) {
    world_.database.become(mood);
    world_.time.after(a_while(), [this] {
      if (!healed_) world_.database.become(Database::Mood::up);
    });
  }
  void broker_is(Broker::Mood mood) {
    world_.broker.become(mood);
    world_.time.after(a_while(), [this] {
      if (!healed_) world_.broker.become(Broker::Mood::up);
    });
  }

  void write_script() {
    for (const auto mood : {Database::Mood::refused, Database::Mood::frozen, Database::Mood::read_only,
                            Database::Mood::no_room, Database::Mood::wrong_password})
      often([this, mood] { database_is(mood); });
    for (const auto mood : {Broker::Mood::down, Broker::Mood::frozen, Broker::Mood::refuses})
      often([this, mood] { broker_is(mood); });
    often([this] {  // one connection is cut
      const auto sessions = world_.database.sessions();
      if (sessions.empty()) return;
      world_.database.end_session(
          sessions[static_cast<std::size_t>(world_.dice.below(static_cast<int>(sessions.size())))]);
    });
    often([this] {
      world_.port_taken = true;
      world_.time.after(a_while(), [this] { world_.port_taken = false; });
    });
    often([this] { with_any([this](Process& daemon) { daemon.report_anything(1 + world_.dice.below(kTopLevel)); }); });
    often([this] { with_any([this](Process& daemon) { daemon.report_held(1 + world_.dice.below(kTopLevel)); }); });
    often([this] {  // a burst of both, while it climbs or falls
      for (int i = 0; i < 5; ++i)
        world_.time.after(world_.dice.between(milliseconds(1), milliseconds(200)), [this] {
          with_any([this](Process& daemon) {
            const int level = 1 + world_.dice.below(kTopLevel);
            world_.dice.one_in(2) ? daemon.report_held(level) : daemon.report_anything(level);
          });
        });
    });
    write_operators();
    if (world_.dice.one_in(2)) world_.slow_calls = 1 + world_.dice.below(10);
    if (world_.dice.one_in(4)) world_.stubborn_calls = 3 + world_.dice.below(10);
  }

  void write_operators() {
    often([this] {
      with_any([this](Process& daemon) {
        daemon.ask({Command::Verb::hold, world_.dice.below(4), "simulated", "the script"});
      });
      world_.time.after(a_while(), [this] {
        with_any([](Process& daemon) { daemon.ask({Command::Verb::release, 0, "", ""}); });
      });
    });
    often([this] { with_any([](Process& daemon) { daemon.ask({Command::Verb::drain, 0, "", ""}); }); });
    often([this] { with_any([](Process& daemon) { daemon.ask({Command::Verb::release, 0, "", ""}); }); });
    often([this] {
      with_any([this](Process& daemon) {
        world_.dice.one_in(4) ? daemon.ask({Command::Verb::stop, 0, "", ""}) : daemon.stop();
        if (world_.dice.one_in(3)) daemon.stop();
      });
    });
    often([this] {  // kill -9
      const auto i = static_cast<std::size_t>(world_.dice.below(static_cast<int>(daemons_.size())));
      if (!daemons_[i]) return;
      daemons_[i]->note("killed");
      bury(i, world_.dice.between(milliseconds(50), seconds(3)));
    });
    often([this] { with_any([](Process& daemon) { daemon.hang_up(); }); });
    often([this] { world_.time.jump_wall(world_.dice.between(-seconds(4000), seconds(4000))); });
  }
  void with_any(const std::function<void(Process&)>& what) {
    if (Process* daemon = any()) what(*daemon);
  }

  void heal() {
    world_.judge.tell(-1, "all faults stop");
    healed_ = true;
    world_.database.become(Database::Mood::up);
    world_.broker.become(Broker::Mood::up);
    world_.port_taken = false;
    world_.slow_calls = world_.stubborn_calls = 0;
    for (const Daemon& daemon : daemons_) {
      if (!daemon || daemon->end()) continue;
      stopping_at_heal_ = stopping_at_heal_ || daemon->stopping();
      daemon->ask({Command::Verb::release, 0, "", ""});
    }
  }

  World world_;
  NoLog quiet_{world_.time};
  std::vector<Daemon> daemons_;
  std::array<TimePoint, 3> started_at_{};
  bool healed_ = false, calm_ = false, posting_ = true, stopping_at_heal_ = false;
  std::int64_t events_ = 0;
  std::map<std::int64_t, int> acknowledged_;  // event, key
  Outcome outcome_;
};

}  // namespace

Outcome run(std::uint64_t seed, std::function<void(const std::string&)> say) { return Run(seed, std::move(say)).go(); }

}  // namespace ratchet::simulation
