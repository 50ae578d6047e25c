// How every other thread speaks to the control thread. Fixed slots, not a queue, so it cannot overflow however
// fast a broken dependency shouts:
//
//   per level    the first fault of the newest incarnation that reported one, and how many followed
//   per worker   one completion (a worker has one job at a time)
//   a counter of stop signals, one flag for SIGHUP
//   8 commands of operators; the ninth is told to come back
//
// Posting takes a mutex for the time of a copy and never waits for the control thread.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "levels/core/level.hpp"

namespace ratchet {

// What became of a worker's job.
struct RaiseDone {
  Incarnation incarnation;
  Result<std::unique_ptr<HeldLevel>> result;
};
struct LowerDone {};
using Completion = std::variant<RaiseDone, LowerDone>;

struct Command {
  enum class Verb : std::uint8_t {
    hold,     // go to `level` (0..2) by the drain order and stay there
    release,  // climb again
    drain,    // hold 2
    stop,     // as SIGTERM
  };
  Verb verb = Verb::release;
  int level = 0;       // of hold
  std::string reason;  // for people
  std::string who;     // for people
};

struct CommandReply {
  bool done = false;
  std::string text;  // one line: what happens now, or why not
};

class Mailbox final : public FaultSink {
 public:
  static constexpr std::size_t kCommands = 8;
  static constexpr std::size_t kFaultText = 512;  // a longer text is cut

  struct FaultSlot {
    Fault first;
    std::uint64_t count = 0;
  };
  struct AskedCommand {
    Command command;
    std::promise<CommandReply> reply;
  };
  struct Mail {
    std::array<std::optional<FaultSlot>, kTopLevel + 1> faults;
    std::array<std::optional<Completion>, kTopLevel + 1> completions;
    unsigned stops = 0;
    bool hangup = false;
    std::vector<AskedCommand> commands;
  };

  // Any thread. A fault of an older incarnation than the one in the slot is dropped, a newer one takes the slot.
  void report(const Fault& fault) noexcept override;

  // The level's worker. At most one per job.
  void complete(int level, Completion completion);

  // Signals: the first asks for a stop, the second for haste.
  void stop() noexcept;
  void hangup() noexcept;

  // Any thread. Empty: all slots are taken, or nobody reads any more. The reply comes once the control thread has
  // acted (not: once the levels are there).
  std::optional<std::future<CommandReply>> ask(Command command);

  // Control thread: everything posted so far; waits for the first of it, at most so long.
  Mail wait(Duration at_most);

  // Wakes `wait` without mail (the clock was moved).
  void nudge() noexcept;

  // Control thread, at the end: who still asks is told so.
  void close();

 private:
  std::mutex mutex_;
  std::condition_variable posted_;
  // protected by mutex_
  Mail mail_;
  bool fresh_ = false;  // something to look at since the last wait
  bool closed_ = false;
};

}  // namespace ratchet
