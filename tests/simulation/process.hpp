// One simulated daemon process: the product's Mailbox, Conductor, Chronicle, ladder, Backoff, Watch, Refill, Tenure and
// Window, with workers that follow a script instead of threads. It watches itself: every order of the conductor is
// held against the rules of DESIGN 3.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/conductor.hpp"
#include "daemon/watch.hpp"
#include "tests/simulation/pool.hpp"
#include "tests/simulation/relay.hpp"

namespace ratchet::simulation {

class Process final : public Workers, public FaultSink {
 public:
  enum class End : std::uint8_t { asked, left, aborted };  // exit 0; _exit of a stop that overran; abort with evidence

  Process(World& world, int number, Log& log);
  ~Process() override;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // ---- the script's side
  void stop();
  void hang_up();
  void ask(Command command);
  // Somebody reports a fault of some incarnation of `level`, most often one that is long gone.
  void report_anything(int level);
  // A fault of what is held, out of nowhere.
  void report_held(int level);
  std::optional<End> end() const noexcept { return end_; }
  bool serves() const noexcept { return board_.ready(); }
  bool stopping() const noexcept { return stop_sent_.has_value(); }
  int held() const noexcept { return conductor_->state().held; }
  // An event arrives over HTTP. `then(true)`: answered 2xx.
  void post(const std::string& key, std::int64_t event, std::function<void(bool)> then);
  void note(const std::string& text) { world_.judge.tell(number_, text); }
  // What must hold at any time, looked at after every turn and from outside.
  void look();

  // ---- Workers
  void raise(int level, Incarnation incarnation, TimePoint deadline) override;
  void watch(int level, HeldLevel& held, Incarnation incarnation) override;
  void lower(int level, std::unique_ptr<HeldLevel> held, Leave leave, TimePoint deadline) override;
  void hurry(int level, Leave leave, TimePoint deadline) override;
  std::optional<Workers::Call> call(int level) const override;

  // ---- FaultSink
  void report(const Fault& fault) noexcept override;

 private:
  friend class SimulatedLevel;  // its levels, and what they hold
  enum class Verb : std::uint8_t { raise, probe, drain };
  enum class Stand : std::uint8_t { down, raising, held, lowering };
  class Held;

  // A level's worker: one call at a time, between raise and lower it probes.
  struct Desk {
    std::optional<Verb> calling;
    std::shared_ptr<Patience> patience;           // of that call
    TimePoint begun{};                            // of that call
    TimePoint ready_at = TimePoint::min();        // when its answer is there
    TimePoint stubborn_until = TimePoint::min();  // before that it does not look at its patience
    bool hurried = false;
    std::optional<Verb> job;  // given, perhaps not begun
    std::shared_ptr<Patience> job_patience;
    Incarnation incarnation = 0;  // of the latest raise
    std::unique_ptr<HeldLevel> lowering;
    Leave leave = Leave::asked;
    HeldLevel* watched = nullptr;
    std::optional<Watch> watch;
    std::uint64_t watches = 0;

    // For the rules.
    Stand stand = Stand::down;
    std::optional<TimePoint> faulted;  // when a fault of what is raising or held was reported
    TimePoint held_since{};
    bool was_stubborn = false;  // since it was raised
  };

  Desk& desk(int level) { return desks_[static_cast<std::size_t>(level)]; }
  const Desk& desk(int level) const { return desks_[static_cast<std::size_t>(level)]; }
  Level& level_of(int level) { return *levels_[static_cast<std::size_t>(level - 1)]; }

  void wake();
  void turn();
  void rule_on_end();
  void finish(End end);

  void begin(int level, Verb verb, std::shared_ptr<Patience> patience);
  void carry_on(int level, std::uint64_t call);
  void done(int level, Verb verb);
  void begin_job(int level);
  void await_probe(int level);
  bool hangs(int level, Verb verb) const;
  Duration takes(int level, Verb verb);

  // What the levels do at the end of their calls.
  std::optional<Fault> raise_now(int level, Incarnation incarnation);
  std::optional<Fault> probe_now(int level);
  void drain_now(int level, Leave leave);
  void released(int level);

  template <class F>
  void after(Duration wait, F what) {
    world_.time.after(wait, [life = std::weak_ptr<int>(life_), what] {
      if (!life.expired()) what();
    });
  }
  TimePoint now() const noexcept { return world_.time.now(); }
  void must(bool holds, const char* rule, const std::string& detail = {});

  World& world_;
  const int number_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);

  Metrics metrics_;
  History history_;
  AlarmBoard alarms_;
  StatusBoard board_;
  Mailbox mailbox_;
  Pool pool_;
  Relay relay_;
  bool port_open_ = false;
  std::array<std::unique_ptr<Level>, kTopLevel> levels_;
  std::array<Desk, kTopLevel + 1> desks_;
  std::uint64_t calls_ = 0;
  bool turn_due_ = false;
  std::uint64_t naps_ = 0;

  std::optional<TimePoint> stop_sent_;
  bool stop_taken_ = false;
  int held_now_ = 0;  // counted by the held levels themselves
  std::array<std::optional<TimePoint>, kTopLevel + 1> missing_since_;
  std::optional<TimePoint> failed_at_;
  std::optional<End> end_;
  std::vector<std::future<CommandReply>> replies_;

  std::unique_ptr<Conductor> conductor_;  // last: it lets go of the held levels first
};

}  // namespace ratchet::simulation
