// When a pool opens one more connection, and what it means when that fails: the decisions, without thread or socket.
//
//   slow start    1 connection, then 2 more, 4 more, ... up to `size`, with a jittered pause between the steps
//   all lost      one attempt at once; if that fails, too, the pool is lost
//   others serve  a failed attempt is repeated with backoff: noise is not a fault
//   one prober    while nothing works nobody but the ladder tries: a lost pool opens nothing by itself
//
// Not thread-safe; `live` is the number of connections that work, `chance` uniform in [0, 1).
#pragma once

#include <optional>

#include "levels/core/backoff.hpp"
#include "levels/core/fault.hpp"

namespace ratchet::db {

class Refill {
 public:
  explicit Refill(int size) noexcept : size_(size) {}

  // The pool opens, with its first connection.
  void open() noexcept;

  // So many of `size` are taken by what our connections left behind (see Unfinished).
  void take(int taken) noexcept { taken_ = taken; }

  // So many more should be there by now.
  int missing(int live) const noexcept;
  // When the next attempt is due; empty: none is.
  std::optional<TimePoint> due(int live) const noexcept;
  // How long that attempt may take.
  static Duration patience(int live) noexcept;

  // A connection ended. True: none is left, and an attempt under way has to hurry.
  bool lost_one(int live) noexcept;
  // An attempt led to one more; `live` counts those before it.
  void joined(int live) noexcept;
  // The next step of the slow start, if this one is done. True: the pool is full.
  bool step(int live, TimePoint now, double chance) noexcept;

  enum class Verdict : std::uint8_t {
    lost,     // none is left: the level's fault
    at_once,  // it was lost along with the others: the one immediate attempt is still to come
    later,    // with backoff, others serve
  };
  // An attempt failed. `alone`: it was begun with no other connection there.
  Verdict failed(FaultKind kind, int live, bool alone, TimePoint now, double chance) noexcept;
  // It failed because the server has no connection left for us.
  bool too_many() const noexcept { return too_many_; }

 private:
  int room() const noexcept { return size_ - taken_; }

  int size_;
  int taken_ = 0;
  int target_ = 0;  // so many may be open by now
  int step_ = 1;
  TimePoint open_at_{};  // no attempt to open one more before
  bool urgent_ = false;  // all were lost: at once
  bool too_many_ = false;
  Backoff backoff_;
};

}  // namespace ratchet::db
