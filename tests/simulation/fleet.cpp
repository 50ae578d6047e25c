// fleet [--instances N] [--base MS] [--cap MS] [--early MS] [--early-for MS] [--settle MS] [--seed N] [--check]
//
// A thousand instances on one database and behind one load balancer, on a virtual clock: the product's conductor,
// ladder, Backoff, Watch and Refill; the database and the balancer are a few rules. Prints, for outages of several
// lengths, how long it takes until all serve again, how hard they knock meanwhile, and who flaps. The figures beside
// the constants in levels/core/backoff.hpp come from here; --check ends with 1 when a target is missed.
//
// The database sets up 1,000 connections a second, one after the other; who comes meanwhile waits in its queue. The
// balancer asks each instance every second, and takes it in after two good answers.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "daemon/conductor.hpp"
#include "daemon/watch.hpp"
#include "levels/1_database/refill.hpp"
#include "tests/simulation/timeline.hpp"

namespace ratchet::simulation {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kPool = 8;
constexpr auto kSetUp = milliseconds(1);  // of one connection, at the database
constexpr auto kBalancerAsks = seconds(1);
constexpr int kBalancerRise = 2;
constexpr auto kFirstKnocks = seconds(1);           // when all are lost, each tries once at once
constexpr auto kFallOfService = milliseconds(300);  // accepted and answered 503 for so long

// Targets, in seconds from when the database accepts again: all of a fleet; each instance after an outage of 5 s.
constexpr double kFull = 15, kSoon = 3;

double in_s(Duration d) { return std::chrono::duration<double>(d).count(); }

class SharedDatabase {
 public:
  enum class Mood : std::uint8_t { up, refused, frozen };

  SharedDatabase(Timeline& time, Dice& dice) : time_(time), dice_(dice) {}
  Mood mood() const noexcept { return mood_; }
  void become(Mood mood) { mood_ = mood; }
  bool up() const noexcept { return mood_ == Mood::up; }

  // When a connection asked for now will stand, if the database is up.
  TimePoint set_up() {
    queue_until_ = std::max(queue_until_, time_.now()) + kSetUp;
    return queue_until_ + dice_.between(microseconds(200), milliseconds(2));
  }

 private:
  Timeline& time_;
  Dice& dice_;
  Mood mood_ = Mood::up;
  TimePoint queue_until_{};
};

struct Shared {
  explicit Shared(std::uint64_t seed, BackoffSettings settings) : dice(seed), backoff(settings) {
    log.set_level(Severity::error);
  }
  ~Shared() { ::close(fd); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  Timeline time;
  Dice dice;
  BackoffSettings backoff;
  SharedDatabase database{time, dice};
  int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{LogSettings{}, time, fd};
  Metrics metrics;
  History history{1};
};

// One daemon of the fleet. All its calls end within their patience; only the database is ever at fault.
class Instance final : public Workers {
 public:
  explicit Instance(Shared& shared) : shared_(shared), alarms_(shared.time, shared.log) {
    for (int level = 1; level <= kTopLevel; ++level)
      levels_[static_cast<std::size_t>(level - 1)] = std::make_unique<Step>(*this, level);
    conductor_ =
        std::make_unique<Conductor>(Conductor::Parts{.instance = "one of many",
                                                     .version = "simulated",
                                                     .levels = {levels_[0].get(), levels_[1].get(), levels_[2].get()},
                                                     .time = shared.time,
                                                     .chance = [&shared] { return shared.dice.chance(); },
                                                     .log = shared.log,
                                                     .metrics = shared.metrics,
                                                     .history = shared.history,
                                                     .alarms = alarms_,
                                                     .board = board_,
                                                     .drain = DrainSettings{},
                                                     .backoff = shared.backoff},
                                    *this);
  }
  void boot() {
    conductor_->begin();
    wake();
    shared_.time.after(shared_.dice.between(milliseconds(0), kBalancerAsks), [this] { balancer_asks(); });
  }

  bool serves() const noexcept { return board_.ready(); }
  bool in_rotation() const noexcept { return good_answers_ >= kBalancerRise; }
  // Its connections are cut (a crash of the database).
  void cut() {
    if (live_ == 0) return;
    live_ = 0;
    if (open_ && refill_.lost_one(0)) connect_more();
  }

  // Since forget(): when it knocked at a database that did not answer; when it was lost; when it came back.
  std::vector<TimePoint> knocks;
  int losses = 0;
  std::optional<TimePoint> back, back_in_rotation;
  void forget() {
    knocks.clear();
    losses = 0;
    back.reset();
    back_in_rotation.reset();
  }

  // ---- Workers
  void raise(int level, Incarnation incarnation, TimePoint deadline) override {
    incarnation_[static_cast<std::size_t>(level)] = incarnation;
    if (level == 1) {
      raise_database(incarnation, deadline);
      return;
    }
    const Duration takes = level == 2 ? shared_.dice.between(milliseconds(10), milliseconds(60))
                                      : shared_.dice.between(milliseconds(1), milliseconds(5));
    after(takes, [this, level, incarnation] { raised(level, incarnation, true); });
  }
  void watch(int level, HeldLevel&, Incarnation incarnation) override {
    if (level != 1) return;
    watch_.emplace(1, incarnation, ProbePlan{seconds(1), milliseconds(750), 2}, shared_.time.now());
    probe_at(watch_->next());
  }
  void lower(int level, std::unique_ptr<HeldLevel> held, Leave, TimePoint) override {
    if (level == 1) watch_.reset();
    const Duration takes =
        level == kTopLevel ? Duration(kFallOfService) : shared_.dice.between(milliseconds(1), milliseconds(50));
    after(takes, [this, level, gone = std::shared_ptr<HeldLevel>(std::move(held))] {
      mailbox_.complete(level, LowerDone{});
      wake();
    });
  }
  void hurry(int, Leave, TimePoint) override {}
  std::optional<Workers::Call> call(int) const override { return std::nullopt; }

 private:
  class Step final : public Level {
   public:
    Step(Instance& instance, int level) : instance_(instance), level_(level) {}
    std::string_view name() const noexcept override { return "level"; }
    Duration raise_patience() const noexcept override { return seconds(5); }
    ProbePlan probe_plan() const noexcept override { return {seconds(1), milliseconds(750), 2}; }
    Result<std::unique_ptr<HeldLevel>> raise(Patience&, Incarnation) override {
      return std::unique_ptr<HeldLevel>(std::make_unique<Held>(instance_, level_));
    }

   private:
    Instance& instance_;
    int level_;
  };
  class Held final : public HeldLevel {
   public:
    Held(Instance& instance, int level) : instance_(instance), level_(level) {}
    ~Held() override {
      if (level_ == 1) instance_.close_pool();
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    std::optional<Fault> probe(Patience&) override { return std::nullopt; }
    void drain(Patience&, Leave) override {}

   private:
    Instance& instance_;
    int level_;
  };

  template <class F>
  void after(Duration wait, F what) {
    shared_.time.after(wait, std::move(what));
  }

  // ---- the control loop
  void wake() {
    if (std::exchange(turn_due_, true)) return;
    after(shared_.dice.between(microseconds(10), microseconds(500)), [this] {
      turn_due_ = false;
      const bool served = serves();
      conductor_->turn(mailbox_.wait(Duration::zero()));
      if (served && !serves()) ++losses;
      if (!served && serves()) back = shared_.time.now();
      after(conductor_->nap(), [this, nap = ++naps_] {
        if (nap == naps_) wake();
      });
    });
  }
  void balancer_asks() {
    good_answers_ = serves() ? good_answers_ + 1 : 0;
    if (good_answers_ == kBalancerRise) back_in_rotation = shared_.time.now();
    after(kBalancerAsks, [this] { balancer_asks(); });
  }
  void raised(int level, Incarnation incarnation, bool well) {
    Patience none(shared_.time.now());
    if (well) {
      mailbox_.complete(level,
                        RaiseDone{incarnation, levels_[static_cast<std::size_t>(level - 1)]->raise(none, incarnation)});
    } else {
      const Fault fault{level, incarnation, FaultKind::refused, "refused", shared_.time.now()};
      mailbox_.complete(level, RaiseDone{incarnation, fault});
    }
    wake();
  }

  // ---- level 1
  // Asks for one connection; `then(well)` by `deadline` at the latest.
  void connect(TimePoint deadline, std::function<void(bool)> then) {
    const TimePoint now = shared_.time.now();
    if (!shared_.database.up()) knocks.push_back(now);
    if (shared_.database.mood() == SharedDatabase::Mood::refused) {
      after(milliseconds(1), [then] { then(false); });
    } else {
      await(deadline, std::move(then));
    }
  }
  void await(TimePoint deadline, std::function<void(bool)> then) {
    if (shared_.database.up()) {
      const TimePoint ready = shared_.database.set_up();
      shared_.time.at(std::min(ready, deadline), [ready, deadline, then] { then(ready <= deadline); });
    } else if (shared_.time.now() >= deadline) {
      then(false);
    } else {
      shared_.time.at(std::min(deadline, shared_.time.now() + milliseconds(20)),
                      [this, deadline, then] { await(deadline, then); });
    }
  }
  void raise_database(Incarnation incarnation, TimePoint deadline) {
    connect(deadline, [this, incarnation](bool well) {
      if (well) {
        open_ = true;
        lost_ = false;
        ++generation_;
        refill_.open();
        refill_.joined(0);
        live_ = 1;
        refill_.step(1, TimePoint::min(), shared_.dice.chance());
        connect_more();
      }
      raised(1, incarnation, well);
    });
  }
  void close_pool() {
    open_ = connecting_ = false;
    live_ = 0;
    ++generation_;
  }
  void connect_more() {
    const auto due = open_ && !lost_ && !connecting_ ? refill_.due(live_) : std::nullopt;
    if (!due) return;
    connecting_ = true;
    shared_.time.at(*due, [this, mine = generation_] {
      if (mine != generation_) return;
      const bool alone = live_ == 0;
      connect(shared_.time.now() + db::Refill::patience(live_), [this, mine, alone](bool well) {
        if (mine == generation_) connected(well, alone);
      });
    });
  }
  void connected(bool well, bool alone) {
    connecting_ = false;
    const TimePoint now = shared_.time.now();
    if (well) {
      refill_.joined(live_);
      ++live_;
      refill_.step(live_, now, shared_.dice.chance());
    } else if (refill_.failed(FaultKind::refused, live_, alone, now, shared_.dice.chance()) ==
               db::Refill::Verdict::lost) {
      lost_ = true;
      report({1, incarnation_[1], FaultKind::refused, "refused", now});
    }
    connect_more();
  }
  void report(const Fault& fault) {
    mailbox_.report(fault);
    wake();
  }
  void probe_at(TimePoint when) {
    shared_.time.at(when, [this, mine = generation_] {
      if (!watch_ || mine != generation_) return;
      probe(shared_.time.now() + watch_->patience(), mine);
    });
  }
  void probe(TimePoint deadline, std::uint64_t mine) {
    if (!watch_ || mine != generation_) return;
    const TimePoint now = shared_.time.now();
    const bool frozen = shared_.database.mood() == SharedDatabase::Mood::frozen;
    if (frozen && now < deadline) {
      shared_.time.at(std::min(deadline, now + milliseconds(20)), [this, deadline, mine] { probe(deadline, mine); });
      return;
    }
    std::optional<Fault> found;
    if (frozen || live_ == 0) found = Fault{1, 0, FaultKind::timed_out, "no answer", now};
    if (const auto fault = watch_->judge(found, now)) {
      watch_.reset();
      report(*fault);
    } else {
      probe_at(watch_->next());
    }
  }

  Shared& shared_;
  AlarmBoard alarms_;
  StatusBoard board_;
  Mailbox mailbox_;
  std::array<std::unique_ptr<Level>, kTopLevel> levels_;
  std::array<Incarnation, kTopLevel + 1> incarnation_{};
  bool turn_due_ = false;
  std::uint64_t naps_ = 0;
  int good_answers_ = 0;
  db::Refill refill_{kPool};
  bool open_ = false, lost_ = false, connecting_ = false;
  int live_ = 0;
  std::uint64_t generation_ = 0;
  std::optional<Watch> watch_;
  std::unique_ptr<Conductor> conductor_;  // last: what it holds uses the rest
};

struct Figures {
  double median = 0, all = 0, all_in_rotation = 0;  // seconds from when the database accepts again
  int most_each = 0;                                // knocks of one instance in any second
  int most = 0, most_later = 0;                     // of all together in any second; without the first second
  int flaps = 0;                                    // instances that were lost more than once
  bool everybody = true;
};

int most_in_a_second(std::vector<TimePoint> times) {
  std::sort(times.begin(), times.end());
  std::size_t most = 0, first = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    while (times[i] - times[first] >= seconds(1))
      ++first;
    most = std::max(most, i - first + 1);
  }
  return static_cast<int>(most);
}

class Fleet {
 public:
  Fleet(int instances, std::uint64_t seed, BackoffSettings settings) : shared_(seed, settings) {
    for (int i = 0; i < instances; ++i)
      fleet_.push_back(std::make_unique<Instance>(shared_));
  }

  // All begin to climb within `spread`, while the database is up.
  void boot(Duration spread) {
    for (const auto& instance : fleet_)
      shared_.time.after(shared_.dice.between(milliseconds(0), spread),
                         [instance = instance.get()] { instance->boot(); });
  }
  void pass(Duration time) {
    const TimePoint end = shared_.time.now() + time;
    while (shared_.time.step(end)) {
    }
  }
  Figures outage(SharedDatabase::Mood mood, Duration length) {
    for (const auto& instance : fleet_)
      instance->forget();
    shared_.database.become(mood);
    if (mood == SharedDatabase::Mood::refused)
      for (const auto& instance : fleet_)
        shared_.time.after(shared_.dice.between(microseconds(200), milliseconds(10)),
                           [instance = instance.get()] { instance->cut(); });
    const TimePoint began = shared_.time.now();
    pass(length);
    shared_.database.become(SharedDatabase::Mood::up);
    const TimePoint healed = shared_.time.now();
    pass(seconds(30));
    return measure(healed, began);
  }
  Figures measure(TimePoint since, TimePoint began) const {
    Figures f;
    std::vector<double> back;
    std::vector<TimePoint> knocks, later;
    for (const auto& instance : fleet_) {
      f.everybody = f.everybody && instance->serves() && instance->in_rotation();
      back.push_back(instance->back ? std::max(0.0, in_s(*instance->back - since)) : 0);
      if (instance->back_in_rotation)
        f.all_in_rotation = std::max(f.all_in_rotation, in_s(*instance->back_in_rotation - since));
      f.most_each = std::max(f.most_each, most_in_a_second(instance->knocks));
      f.flaps += instance->losses > 1 ? 1 : 0;
      knocks.insert(knocks.end(), instance->knocks.begin(), instance->knocks.end());
      std::copy_if(instance->knocks.begin(), instance->knocks.end(), std::back_inserter(later),
                   [began](TimePoint knock) { return knock >= began + kFirstKnocks; });
    }
    if (back.empty()) return f;
    std::sort(back.begin(), back.end());
    f.median = back[back.size() / 2];
    f.all = back.back();
    f.most = most_in_a_second(knocks);
    f.most_later = most_in_a_second(later);
    return f;
  }
  TimePoint now() const { return shared_.time.now(); }

 private:
  Shared shared_;
  std::vector<std::unique_ptr<Instance>> fleet_;
};

struct Wanted {
  int instances = 1000;
  std::uint64_t seed = 1;
  bool check = false;
  BackoffSettings backoff;
};

bool parse(int argc, char** argv, Wanted& wanted) {
  for (int i = 1; i < argc; ++i) {
    const std::string key = argv[i];
    if (key == "--check") {
      wanted.check = true;
      continue;
    }
    if (++i == argc) return false;
    const long value = std::strtol(argv[i], nullptr, 10);
    if (value <= 0) return false;
    if (key == "--instances")
      wanted.instances = static_cast<int>(value);
    else if (key == "--seed")
      wanted.seed = static_cast<std::uint64_t>(value);
    else if (key == "--base")
      wanted.backoff.base = milliseconds(value);
    else if (key == "--cap")
      wanted.backoff.cap = milliseconds(value);
    else if (key == "--early")
      wanted.backoff.early = milliseconds(value);
    else if (key == "--early-for")
      wanted.backoff.early_for = milliseconds(value);
    else if (key == "--settle")
      wanted.backoff.settle = milliseconds(value);
    else
      return false;
  }
  return true;
}

bool row(const std::string& what, const Figures& f, double target) {
  const bool good = f.everybody && f.all <= target && f.most_each <= 1 && f.flaps == 0;
  std::cout << std::left << std::setw(26) << what << std::right << std::fixed << std::setprecision(1) << std::setw(8)
            << f.median << std::setw(8) << f.all << std::setw(13) << f.all_in_rotation << std::setw(10) << f.most_each
            << std::setw(9) << f.most << std::setw(8) << f.most_later << std::setw(7) << f.flaps
            << (good ? "" : "   MISSED") << '\n';
  return good;
}

int fleet(const Wanted& wanted) {
  const BackoffSettings& b = wanted.backoff;
  std::cout << wanted.instances << " instances, pools of " << kPool << "; backoff: base " << in_s(b.base)
            << " s, up to " << in_s(b.early) << " s for the first " << in_s(b.early_for) << " s, cap " << in_s(b.cap)
            << " s, settle " << in_s(b.settle) << " s\n"
            << "                          back at level 3 (s)  in rotation  attempts in a second    flaps\n"
            << "outage                      median     all          all      each      all   later\n";
  struct Case {
    const char* what;
    SharedDatabase::Mood mood;
    Duration length;
    double target;  // s
  };
  using Mood = SharedDatabase::Mood;
  const std::array cases = {
      Case{"refused for 0.2 s", Mood::refused, milliseconds(200), kFull},
      Case{"refused for 2 s", Mood::refused, seconds(2), kFull},
      Case{"refused for 5 s", Mood::refused, seconds(5), kSoon},
      Case{"refused for 60 s", Mood::refused, seconds(60), kFull},
      Case{"frozen for 0.2 s", Mood::frozen, milliseconds(200), kFull},
      Case{"frozen for 2 s", Mood::frozen, seconds(2), kFull},
      Case{"frozen for 5 s", Mood::frozen, seconds(5), kSoon},
      Case{"frozen for 60 s", Mood::frozen, seconds(60), kFull},
  };
  bool good = true;
  for (const Case& c : cases) {
    Fleet one(wanted.instances, wanted.seed, b);
    one.boot(seconds(5));
    one.pass(seconds(15));
    good = row(c.what, one.outage(c.mood, c.length), c.target) && good;
  }
  Fleet herd(wanted.instances, wanted.seed, b);
  const TimePoint start = herd.now();
  herd.boot(milliseconds(1));
  herd.pass(seconds(30));
  good = row("none: all boot at once", herd.measure(start, start), kFull) && good;
  return wanted.check && !good ? 1 : 0;
}

}  // namespace
}  // namespace ratchet::simulation

int main(int argc, char** argv) {
  ratchet::simulation::Wanted wanted;
  if (!ratchet::simulation::parse(argc, argv, wanted)) {
    std::cerr
        << "usage: fleet [--instances N] [--base MS] [--cap MS] [--early MS] [--early-for MS] [--settle MS] [--seed N] "
           "[--check]\n";
    return 64;
  }
  return ratchet::simulation::fleet(wanted);
}
