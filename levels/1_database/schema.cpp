#include "levels/1_database/schema.hpp"

#include <openssl/evp.h>

#include <array>
#include <cassert>
#include <map>
#include <new>
#include <utility>

#include "levels/1_database/blame.hpp"

namespace ratchet::db {
namespace {

constexpr std::string_view kLock = "7236420";  // the advisory lock of `migrate`, one per database

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, 32> bytes{};
  if (EVP_Digest(text.data(), text.size(), bytes.data(), nullptr, EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
  std::string hex;
  for (const unsigned byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

Fault fault(FaultKind kind, std::string text) { return Fault{1, 0, kind, std::move(text), {}}; }

Fault fault(const SqlError& error) {
  return fault(fault_kind(error), "schema ratchet cannot be looked at: " + error.text);
}

// What the run role must be able to call, by name; and what of it is not there. No parentheses: it may not even see the
// schema.
constexpr std::string_view kLook =
    "with needed(name) as (select pg_catalog.unnest(array['append', 'idem_rotate', 'outbox_reclaim', 'outbox_stats',"
    " 'relay_acquire', 'relay_advance', 'relay_beat', 'relay_bury', 'relay_read', 'relay_release', 'version'])),"
    " n as (select oid from pg_catalog.pg_namespace where nspname = 'ratchet'),"
    " p as (select f.oid, f.proname::text as name from pg_catalog.pg_proc f join n on f.pronamespace = n.oid)"
    " select pg_catalog.has_schema_privilege(n.oid, 'usage'),"
    " exists (select from p where p.name = 'version'),"
    " coalesce((select pg_catalog.string_agg(p.name, ', ' order by p.name) from p join needed using (name)"
    "   where not pg_catalog.has_function_privilege(p.oid, 'execute')), ''),"
    " current_user,"
    " coalesce((select pg_catalog.string_agg(name, ', ' order by name) from needed"
    "   where name not in (select p.name from p)), '')"
    " from n";

Result<Nothing> verify_rights(const Rows& look) {
  const std::string user(look.text(0, 3));
  const std::string cure = ": grant ratchet_run to \"" + user + "\"";
  if (!look.boolean(0, 0)) return fault(FaultKind::authorisation, "no right to use schema ratchet" + cure);
  if (!look.text(0, 2).empty()) {
    return fault(FaultKind::authorisation, "no right to execute ratchet." + std::string(look.text(0, 2)) + cure);
  }
  if (!look.text(0, 4).empty()) {
    return fault(FaultKind::schema_missing, "schema ratchet is incomplete: there is no function " +
                                                std::string(look.text(0, 4)) + ", which `ratchetd migrate` had made");
  }
  return Nothing{};
}

// The versions applied, with their checksums. Empty where nothing ever was.
Result<std::map<int, std::string>, SqlError> applied(Connection& connection) {
  std::map<int, std::string> found;
  auto there =
      connection.exec("select from pg_catalog.pg_tables where schemaname = 'ratchet' and tablename = 'migration'");
  if (!there) return std::move(there).error();
  if (there->size() == 0) return found;
  auto rows = connection.exec("select version, checksum from ratchet.migration");
  if (!rows) return std::move(rows).error();
  for (std::size_t i = 0; i < rows->size(); ++i) {
    found.emplace(static_cast<int>(rows->integer(i, 0)), std::string(rows->text(i, 1)));
  }
  return found;
}

SqlError wrong_state(std::string text) { return {SqlError::Kind::said, "55000", std::move(text)}; }

// One simple query with several statements is one transaction.
Result<Nothing, SqlError> apply(Connection& connection, const Migration& migration) {
  std::string all(migration.sql);
  all += "\ninsert into ratchet.migration (version, name, checksum) values (" + std::to_string(migration.version) +
         ", '" + std::string(migration.name) + "', '" + sha256_hex(migration.sql) + "');";
  auto done = connection.exec(all);
  if (done) return Nothing{};
  auto error = std::move(done).error();
  error.text = "migration " + std::to_string(migration.version) + " " + std::string(migration.name) + ": " + error.text;
  return error;
}

Result<std::vector<std::string>, SqlError> migrate_locked(Connection& connection) {
  auto before = applied(connection);
  if (!before) return std::move(before).error();
  assert(!migrations().empty() && migrations().back().version == kSchemaNewest);
  if (!before->empty() && before->rbegin()->first > kSchemaNewest) {
    return wrong_state("schema ratchet has version " + std::to_string(before->rbegin()->first) +
                       ", this program only knows up to " + std::to_string(kSchemaNewest));
  }
  std::vector<std::string> lines;
  for (const auto& migration : migrations()) {
    const std::string title = std::to_string(migration.version) + " " + std::string(migration.name);
    const auto known = before->find(migration.version);
    if (known == before->end()) {
      if (auto done = apply(connection, migration); !done) return std::move(done).error();
      lines.push_back(title + ": applied");
    } else if (known->second != sha256_hex(migration.sql)) {
      return wrong_state("migration " + title + " was applied with another text than this program carries");
    }
  }
  if (lines.empty()) lines.push_back("schema ratchet has version " + std::to_string(kSchemaNewest) + ": nothing to do");
  return lines;
}

}  // namespace

Result<Nothing> verify_schema(Connection& connection) {
  auto look = connection.exec(kLook);
  if (!look) return fault(look.error());
  if (look->size() == 0) return fault(FaultKind::schema_missing, "schema ratchet is missing: run `ratchetd migrate`");
  const bool has_version = look->boolean(0, 1);
  if (!has_version)
    return fault(FaultKind::schema_missing,
                 "schema ratchet is not ours: ratchet.version() is missing: run `ratchetd migrate`");
  if (look->boolean(0, 0)) {
    auto version = connection.exec("select ratchet.version()");
    if (!version && version.error().sqlstate != "42501") return fault(version.error());
    if (version) {
      const auto found = version->integer(0, 0);
      const std::string text = "schema ratchet has version " + std::to_string(found) + ", this program needs ";
      if (found < kSchemaOldest) {
        return fault(FaultKind::schema_older, text + std::to_string(kSchemaOldest) + ": run `ratchetd migrate`");
      }
      if (found > kSchemaNewest) {
        return fault(FaultKind::schema_newer,
                     text + "at most " + std::to_string(kSchemaNewest) + ": install a newer ratchetd");
      }
    }
  }
  return verify_rights(*look);
}

Result<Nothing> verify_append(Connection& connection) {
  auto done = connection.exec(
      "set local lock_timeout = '100ms'; select from ratchet.append('{}', '{}', '{}', '{}', '{}', '{}', '{}')");
  if (done) return Nothing{};
  const auto& error = done.error();
  if (error.kind == SqlError::Kind::said && blame(error) != Blame::unclear) return Nothing{};
  if (error.kind == SqlError::Kind::lost) return fault(error);
  return fault(fault_kind(error), "ratchet.append does not work: " + error.text);
}

Result<std::vector<std::string>, SqlError> migrate(Connection& connection) {
  const std::string lock(kLock);
  if (auto set = connection.exec("set lock_timeout = '60s'; set statement_timeout = '10min'"); !set) return set.error();
  if (auto got = connection.exec("select pg_advisory_lock(" + lock + ")"); !got) {
    auto error = std::move(got).error();
    if (error.sqlstate == "55P03") error.text = "another `migrate` has been at work for a minute";
    return error;
  }
  auto lines = migrate_locked(connection);
  auto home = connection.exec("select pg_advisory_unlock(" + lock + "); reset lock_timeout; reset statement_timeout");
  if (lines && !home) return home.error();
  return lines;
}

}  // namespace ratchet::db
