#include "levels/core/runbook.hpp"

#include <array>

namespace ratchet {

namespace {

struct Row {
  FaultKind kind;
  std::string_view line;
};

// In the order of FaultKind.
constexpr std::array kRows{
    Row{FaultKind::refused, "Nobody takes connections there: start the server, or correct its address and port."},
    Row{FaultKind::timed_out,
        "The server does not answer in time: see whether it hangs or is overloaded, and whether a firewall drops "
        "packets on the way."},
    Row{FaultKind::name_resolution,
        "The name has no address: correct it, or mend DNS (try `getent hosts NAME` on this machine)."},
    Row{FaultKind::tls,
        "TLS failed: compare sslmode or security.protocol with the server, and look at its certificate's name, "
        "issuer and end date."},
    Row{FaultKind::authentication,
        "The server does not know us: correct user, database or secret (a secret in a file is read again by itself), "
        "or the server's access rules."},
    Row{FaultKind::authorisation,
        "A right is missing: `grant ratchet_run to USER` in PostgreSQL, Describe and Write on the topic in Kafka, or "
        "a port above 1023."},
    Row{FaultKind::schema_missing, "Run `ratchetd migrate --config FILE --dsn OWNER_DSN` against this database."},
    Row{FaultKind::schema_older, "Run `ratchetd migrate` of this version against this database."},
    Row{FaultKind::schema_newer, "Install the ratchetd that this schema was migrated for, or one that is newer."},
    Row{FaultKind::read_only,
        "Writes need the primary: let the DSN lead to it, promote this server, or end default_transaction_read_only."},
    Row{FaultKind::too_many_connections,
        "Raise max_connections (or the limit of the role or database), or lower `size` or the number of instances."},
    Row{FaultKind::too_few_connections,
        "Raise what caps them: the role's or database's CONNECTION LIMIT, max_connections, or a pooler's "
        "default_pool_size and max_user_connections."},
    Row{FaultKind::pooler,
        "The relay's lease and our settings live in a session: set `pool_mode = session` for this database in the "
        "pooler, or let the DSN lead to the server itself."},
    Row{FaultKind::wrong_setting,
        "Take the setting back where it was made: `alter role ... reset NAME`, `alter database ... reset NAME`, or in "
        "postgresql.conf."},
    Row{FaultKind::connection_lost, "Look at the server's log for a crash, a restart or an administrator's command."},
    Row{FaultKind::disk_full, "Make room on the server's disk; look at old replication slots and archived WAL first."},
    Row{FaultKind::standby_away,
        "Bring the synchronous standby back, or take it from synchronous_standby_names and reload. Do not cancel or "
        "terminate what waits: it would be seen unreplicated."},
    Row{FaultKind::disk_stuck,
        "The server's disk does not finish a write or fsync: look at its storage (dmesg, iostat), mend it or fail "
        "over."},
    Row{FaultKind::locked,
        "Another session holds the lock: find it with pg_blocking_pids() of the backend named, and let it end."},
    Row{FaultKind::topic_missing, "Create the topic (ratchetd never does), or correct its name."},
    Row{FaultKind::not_enough_replicas,
        "Bring brokers back until every partition has a leader and min.insync.replicas in sync, or lower that "
        "setting."},
    Row{FaultKind::leader_unreachable,
        "Kafka answers, but that broker cannot be reached at its advertised.listeners: correct them, or let this machine "
        "resolve and reach the name."},
    Row{FaultKind::broker_fatal,
        "A new producer is made by itself; if this repeats, compare the brokers' logs and versions with the text."},
    Row{FaultKind::address_in_use, "Find who holds the port (ss -ltnp) and stop it, or change service.listen."},
    Row{FaultKind::out_of_files,
        "Raise LimitNOFILE (or the machine's fs.file-max), or lower service.limits.connections; for threads, "
        "TasksMax."},
    Row{FaultKind::service_errors,
        "The log names each error (\"a handler failed\", \"cannot accept connections\"): mend its cause, or report "
        "it."},
    Row{FaultKind::cancelled, "Nothing: we broke it off ourselves, and it is tried again."},
    Row{FaultKind::unknown, "Not a fault that is known here: read its text and the server's log, and report the line."},
};

constexpr bool complete() {
  for (std::size_t i = 0; i < kRows.size(); ++i)
    if (static_cast<std::size_t>(kRows[i].kind) != i) return false;
  return kRows.size() == static_cast<std::size_t>(FaultKind::unknown) + 1;
}
static_assert(complete(), "one row for every kind, in order");

}  // namespace

std::string_view runbook(FaultKind kind) noexcept { return kRows[static_cast<std::size_t>(kind)].line; }

}  // namespace ratchet
