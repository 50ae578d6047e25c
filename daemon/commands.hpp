// The verbs that do their work and exit.
#pragma once

#include <string>

#include "config/load.hpp"
#include "levels/core/clock.hpp"

namespace ratchet {

constexpr int kExitConfiguration = 78;
constexpr int kExitUnreachable = 69;
constexpr int kExitUsage = 64;

// Says what is right with it, and how many server connections it will take.
int check(const Loaded& loaded);
// Of outbox pool `only`; empty: of all, of which one that cannot be reached does not hold up the others. `owner_dsn`:
// empty for the pool's own; else it must be clear which pool is meant.
int migrate(const Settings& settings, const std::string& owner_dsn, const std::string& only, const TimeSource& time);
int reference(bool schema);

}  // namespace ratchet
