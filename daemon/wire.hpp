// Wiring: builds every part once, lowest level first, and hands each what it needs. Parts outlive levels: raising and
// lowering opens and closes them, so a straggler meets a closed part, never a dangling one.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "config/load.hpp"
#include "levels/core/clock.hpp"
#include "levels/core/random.hpp"

namespace ratchet {

class Daemon {
 public:
  // `chance`: uniform in [0, 1), any thread. Needs block_signals() before.
  Daemon(const Settings& settings, const std::vector<ConfigWarning>& warnings, const TimeSource& time,
         std::function<double()> chance, const RandomSource& random);
  ~Daemon();

  // Until a stop has been carried out. The exit code.
  int run();

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet
