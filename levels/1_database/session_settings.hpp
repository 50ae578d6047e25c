// What a session of ours has set, whatever the role, the database or the server have as their defaults: everything that
// changes what our statements mean or need. One table, with the reasons. Pure.
#pragma once

#include <string>
#include <string_view>

#include "config/settings.hpp"
#include "levels/core/clock.hpp"

namespace ratchet::db {

// For the connection's `options`: ours, and between them `theirs`, those of the DSN, which win over what we merely
// prefer, never over what we need. Settings that PostgreSQL 14 does not know are left out: see `later_settings`.
std::string session_options(std::chrono::milliseconds statement, std::string_view theirs);

// The same as SQL, for a pooler that takes no `options`: what the DSN says there is lost with them.
std::string session_sql(std::chrono::milliseconds statement);

// What a server of this version (150004: 15.4) knows beside those, as SQL; "" when it is nothing.
std::string later_settings(int server_version);

// The value of the one that `exec("set NAME = ...")` may have changed for a while.
std::string session_value(std::string_view name, std::chrono::milliseconds statement);

// The server reports this one with each session: it tells whether our `options` were taken.
inline constexpr std::string_view kReported = "IntervalStyle";
inline constexpr std::string_view kReportedValue = "iso_8601";

}  // namespace ratchet::db
