// Group commit: events that wait while a commit runs form the next one (natural batching; no linger, so a lone
// event is sent at once). The queue IS the arrays of `select * from ratchet.append(...)`: adding an event appends
// bytes to seven binary columns under one lock; the committer swaps the buffers and sends them in one autocommit
// round trip. A batch that fails for one row is retried row by row, so nobody pays for his neighbour.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/1_database/idempotency.hpp"
#include "levels/1_database/pool.hpp"

namespace ratchet::db {

struct Event {
  std::optional<Uuid> idempotency;  // empty: always a new event
  std::string_view fingerprint;     // 32 bytes; with idempotency only
  std::string_view reply;           // what its 2xx said, stored with the key (and handed back in Outcome)
  std::string_view topic;
  std::optional<std::string_view> key;  // empty: null key
  std::string_view headers;             // a JSON object of strings
  std::string_view payload;
};

enum class Committed : std::uint8_t {
  stored,           // committed now
  duplicate,        // an earlier one with the same key and content is: `reply` is what was said then
  mismatch,         // the key was used with another content (idempotency.hpp)
  in_progress,      // the same key is being committed elsewhere
  refused,          // the database refused this row; `reply` is SQLSTATE, a space, its reason
  nothing_stored,   // not begun when the connection was lost, or when it had to stop
  outcome_unknown,  // the connection was lost while it was being committed
};

struct Outcome {
  std::uint64_t token;  // the caller's own, from add()
  Committed committed;
  std::string_view reply;  // valid as long as the batch lives
};

// A batch whose fate is known. Destroying it gives its buffers back for reuse.
class FinishedBatch {
 public:
  virtual ~FinishedBatch() = default;
  virtual const std::vector<Outcome>& outcomes() const noexcept = 0;
};

// Called once per batch, on a committer's thread, or, for what was never begun, on the thread that calls `stop`. With
// several committers these calls may overlap. The batch may be kept and destroyed later, on any thread, also after
// GroupCommit itself: until then its bytes count as queued.
class CommitSink {
 public:
  virtual ~CommitSink() = default;
  virtual void finished(std::unique_ptr<FinishedBatch> batch) = 0;
};

enum class AddError : std::uint8_t {
  not_connected,  // level 1 is not held, or on its way down
  queue_full,     // queue_bytes reached: nothing stored
};

class GroupCommit {
 public:
  struct Parts {
    Pool& pool;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    std::size_t queue_bytes;
    int committers;
  };
  explicit GroupCommit(Parts parts);
  ~GroupCommit();

  // Where outcomes go. Set once before start.
  void set_sink(CommitSink* sink) noexcept;
  // Called after each commit that stored something, on the committer's thread (wakes the relay of this process).
  void set_committed(std::function<void()> committed);

  // Leases and prepares. The Fault's incarnation is left to the caller.
  Result<Nothing> start(Patience& patience);
  // asked: commits what is queued, then stops. fault: what is not begun ends as nothing_stored at once. What is under
  // way ends by itself, or is cut when patience ends: outcome_unknown. Afterwards everything added has its outcome;
  // `start` may follow.
  void stop(Patience& patience, Leave leave);

  // Any thread; copies the event. On success the outcome comes through the sink exactly once, unless withdrawn.
  // The returned number names the event's place in the queue, for `withdraw`; it means nothing else.
  Result<std::uint64_t, AddError> add(const Event& event, std::uint64_t token);
  bool accepts() const noexcept;  // it is started: add() will not say not_connected, but for a race. Any thread
  void wake();  // after one or more add(): once per turn of the caller's loop

  // The caller's deadline has come. True: the event was not begun and never will be (no outcome follows).
  // False: it is being committed; its outcome follows (or has come). At most once per event. Any thread.
  bool withdraw(std::uint64_t place, std::uint64_t token);

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::db
