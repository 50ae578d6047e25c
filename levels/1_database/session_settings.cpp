#include "levels/1_database/session_settings.hpp"

#include <array>
#include <cassert>

namespace ratchet::db {
namespace {

enum class Rule : std::uint8_t {
  needed,     // nobody may have it otherwise
  preferred,  // the DSN's own `options` win
};

struct Setting {
  std::string_view name;
  std::string_view value;  // "": the time of a statement
  Rule rule = Rule::needed;
  int since = 0;  // the first server version that knows it; 0: all that we know
};

// Every setting that a login may have by default was gone through (PostgreSQL 15 and 17, pg_settings); a test tries
// each one that the server has. Not here, because it changes nothing for us:
//   what only costs (costs of the planner, memory, costs of a commit), what is only said (log_..., lc_messages:
//   severities and SQLSTATEs are read, no text), what only touches notations we do not use (XML, money, text search,
//   arrays as text, backslashes), and what our functions set for themselves.
// Not here, because it is a word that is meant:
//   default_transaction_read_only: that login or server shall not be written to; a fault that names it.
// Not here, because only a superuser may set it:
//   session_replication_role: looked at (see wrong_setting).
constexpr std::array kSettings{
    // How values look on the wire.
    Setting{kReported, kReportedValue},
    Setting{"TimeZone", "UTC"},
    Setting{"DateStyle", "ISO"},
    Setting{"bytea_output", "hex"},
    Setting{"extra_float_digits", "1"},
    Setting{"standard_conforming_strings", "on"},
    // Who we are, and where names lead: a type or a function of ours by name must not be somebody else's.
    Setting{"role", "none", Rule::preferred},
    Setting{"search_path", "pg_catalog", Rule::preferred},
    Setting{"row_security", "on"},
    // What a transaction is: the relay sees what was committed, retries are not for everything.
    Setting{"default_transaction_isolation", "read\\ committed"},
    Setting{"default_transaction_deferrable", "off"},
    Setting{"synchronous_commit", "on", Rule::preferred},
    // How long things may take. Idle connections are watched by the pool, not ended by the server.
    Setting{"statement_timeout", "", Rule::preferred},
    Setting{"lock_timeout", "", Rule::preferred},
    Setting{"idle_in_transaction_session_timeout", "", Rule::preferred},
    Setting{"idle_session_timeout", "0"},
    Setting{"transaction_timeout", "0", Rule::needed, 170000},
    // An ERROR is an answer, and warnings are heard.
    Setting{"exit_on_error", "off"},
    Setting{"client_min_messages", "warning"},
    // Plans: tables without statistics, each call a few rows. A way that is barred ends in reading a whole ring.
    Setting{"jit", "off"},
    Setting{"max_parallel_workers_per_gather", "0"},
    Setting{"plan_cache_mode", "auto"},
    Setting{"enable_seqscan", "on"},
    Setting{"enable_indexscan", "on"},
    Setting{"enable_indexonlyscan", "on"},
    Setting{"enable_bitmapscan", "on"},
    Setting{"enable_nestloop", "on"},
    Setting{"enable_hashjoin", "on"},
    Setting{"enable_mergejoin", "on"},
    Setting{"enable_hashagg", "on"},
    Setting{"enable_sort", "on"},
    Setting{"enable_material", "on"},
    // `migrate` makes tables that are updated and truncated.
    Setting{"default_table_access_method", "heap"},
};

std::string value_of(const Setting& setting, std::chrono::milliseconds statement) {
  return setting.value.empty() ? std::to_string(statement.count()) : std::string(setting.value);
}

// As SQL, where no backslash hides a space.
std::string quoted(std::string value) {
  std::erase(value, '\\');
  return "'" + value + "'";
}

}  // namespace

std::string session_options(std::chrono::milliseconds statement, std::string_view theirs) {
  std::string preferred, needed;
  for (const auto& setting : kSettings) {
    if (setting.since != 0) continue;
    std::string& part = setting.rule == Rule::preferred ? preferred : needed;
    part.append("-c ").append(setting.name).append("=").append(value_of(setting, statement)).append(" ");
  }
  return preferred.append(theirs).append(" ").append(needed);  // the later word wins
}

std::string session_sql(std::chrono::milliseconds statement) {
  std::string all;
  for (const auto& setting : kSettings) {
    if (setting.since != 0) continue;
    all.append("set ").append(setting.name).append(" = ").append(quoted(value_of(setting, statement))).append(";");
  }
  return all;
}

std::string later_settings(int server_version) {
  std::string all;
  for (const auto& setting : kSettings) {
    if (setting.since == 0 || server_version < setting.since) continue;
    all.append("set ").append(setting.name).append(" = ").append(quoted(std::string(setting.value))).append(";");
  }
  return all;
}

std::string session_value(std::string_view name, std::chrono::milliseconds statement) {
  for (const auto& setting : kSettings) {
    if (setting.name == name) return quoted(value_of(setting, statement));
  }
  assert(false);
  return {};
}

}  // namespace ratchet::db
