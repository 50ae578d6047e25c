// Calls that we gave up, or whose connection was lost under them, while the server was still at work on them. Cutting
// a connection does not end its backend: one that commits waits on, for a standby or a disk, with nobody to answer to.
// Until it has ended it counts as a connection of the pool, so that calls which hang never become more than `size`.
//
// They are looked up in pg_stat_activity, by role and application name: so are those that an earlier process of this
// instance has left. Nothing is cancelled or terminated here or anywhere: a backend that waits for a standby would make
// its commit visible, replicated nowhere.
//
// Decisions only, without thread or socket. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levels/core/fault.hpp"

namespace ratchet::db {

// One backend of ours, as pg_stat_activity shows it. What we may not see is empty.
struct Activity {
  int backend = 0;  // its process id
  std::string wait_type, wait_event;
  std::optional<Duration> age;  // of what it does now
  bool idle = false;            // has nothing to do, as far as it knows
  bool writes = false;          // has a transaction id: its end is a commit
};

// What a backend waits for, as the fault that it is: a standby, the disk, a lock, or (timed_out) something else.
FaultKind hung_on(const Activity& activity) noexcept;

class Unfinished {
 public:
  // One row per backend of ours, but for the one that asks: what `activities` takes.
  static std::string_view question() noexcept;

  // `size`: of the pool. `statement`: how long a call may take.
  Unfinished(int size, Duration statement) noexcept;

  // A call on this backend was given up. `overdue`: it had had its time.
  void left(int backend, bool overdue);

  // Some were given up that nobody has looked at since: whatever begins now may hang like them.
  bool doubtful() const noexcept;
  // So many of `size` are taken; never so many that nothing could be told or served any more.
  int taken() const noexcept;
  std::size_t count() const noexcept { return all_.size(); }

  // A question is about to be asked: what is given up from now on is not judged by its answer.
  void ask() noexcept;

  enum class Verdict : std::uint8_t {
    clear,  // commits may be tried
    young,  // (raising) some wait where a commit may hang, but not for long yet: ask again until `kYoung` has passed
    hung,   // commits of ours hang, or so many calls do that too few connections are left
  };
  struct Finding {
    Verdict verdict = Verdict::clear;
    FaultKind kind = FaultKind::timed_out;  // of what hangs
    std::string text;                       // one line about what hangs, without the pool's name; "" where nothing does
  };
  // The answer; without those backends whose connection is still in use. `raising`: those count, too, that this process
  // knows nothing of, and from then on it does.
  Finding judge(const std::vector<Activity>& found, bool raising);

  static constexpr Duration kYoung = std::chrono::seconds(1);

 private:
  struct Left {
    int backend;
    bool overdue;
    bool asked = false;  // is covered by the question under way
    bool known = false;  // was looked at
    bool idle = false;
  };
  Left* find(int backend) noexcept;
  void forget_ended(const std::vector<Activity>& found);
  bool commit_hangs(const Activity& activity, bool overdue) const noexcept;
  int working() const noexcept;

  const int size_;
  const Duration statement_;
  std::vector<Left> all_;
};

}  // namespace ratchet::db
