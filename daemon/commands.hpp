// The verbs that do their work and exit.
#pragma once

#include <string>

#include "config/load.hpp"
#include "levels/core/clock.hpp"

namespace ratchet {

constexpr int kExitConfiguration = 78;
constexpr int kExitUnreachable = 69;

// Says what is right with it, and how many server connections it will take.
int check(const Loaded& loaded);
// `owner_dsn`: empty for the pool's own.
int migrate(const Settings& settings, const std::string& owner_dsn, const TimeSource& time);
int reference(bool schema);

}  // namespace ratchet
