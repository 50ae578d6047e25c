// What every level is to the rest of the daemon. Four verbs: raise, probe, drain, release (the destructor).
// Held means owned: the manager keeps a stack of HeldLevels, falling is popping it, and a raise that failed has
// left nothing behind. No code above this interface knows a particular level.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "levels/core/fault.hpp"
#include "levels/core/patience.hpp"
#include "levels/core/result.hpp"

namespace ratchet {

constexpr int kTopLevel = 3;

enum class Leave : std::uint8_t {
  asked,  // SIGTERM, hold, drain: in order, nobody may notice
  fault,  // this level or one below is gone: fast, and honest to whoever waits
};

// A level that is held. Used by its level's worker thread only; never probe and drain at once.
class HeldLevel {
 public:
  virtual ~HeldLevel() = default;  // releases everything, fast; what takes time belongs into drain

  // Is it still true? Empty: yes. One miss is not yet a fault: the worker asks again at once (see ProbePlan).
  virtual std::optional<Fault> probe(Patience& patience) = 0;

  // Lets go in order, within `patience`. Afterwards only the destructor is called.
  virtual void drain(Patience& patience, Leave leave) = 0;

  // One line when held but not whole ("3 of 8 connections"); empty when all is well. Any thread.
  virtual std::optional<std::string> degraded() const { return std::nullopt; }

  // Takes a way to say "something looks wrong, nothing is proven": the next probe then follows at once instead of by
  // the plan. It may be called from any thread and at any time, costs nothing and reports nothing. Called once, before
  // the first probe; a level that sees no such signs ignores it.
  virtual void on_doubt(const std::function<void()>& /*probe_soon*/) {}
};

struct ProbePlan {
  Duration every;     // between two probes that went well
  Duration patience;  // of each probe
  int misses = 2;     // so many in a row are a fault; after a miss the next probe follows at once
};

class Level {
 public:
  virtual ~Level() = default;
  virtual std::string_view name() const noexcept = 0;  // "database"
  virtual Duration raise_patience() const noexcept = 0;
  virtual ProbePlan probe_plan() const noexcept = 0;

  // All or nothing. Faults seen later by this held level carry `incarnation`. Worker thread of this level.
  virtual Result<std::unique_ptr<HeldLevel>> raise(Patience& patience, Incarnation incarnation) = 0;
};

}  // namespace ratchet
