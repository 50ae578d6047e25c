#include "daemon/commands.hpp"

#include <iostream>

#include "config/memory_need.hpp"
#include "config/reference.hpp"
#include "levels/1_database/connection.hpp"
#include "levels/1_database/conninfo.hpp"
#include "levels/1_database/schema.hpp"

namespace ratchet {
namespace {

constexpr seconds kConnectPatience{10};
constexpr milliseconds kStatement{300'000};  // a migration may rewrite a table

std::string sizing(const PoolSettings& pool) {
  const std::string kind = std::string(pool.role == PoolRole::primary ? "primary" : "replica") +
                           (pool.required ? ", required" : ", optional") + (pool.is_outbox() ? ", outbox" : "");
  return "pool " + pool.name + " (" + kind + "): " + std::to_string(pool.size) +
         " server connections per instance; max_connections of the server must hold " + std::to_string(pool.size) +
         " x instances, and what others use";
}

Result<std::unique_ptr<db::Connection>> connect(const PoolSettings& pool, const TimeSource& time) {
  auto conninfo = db::Conninfo::parse(pool.dsn);
  if (!conninfo) return Fault{1, 0, FaultKind::unknown, conninfo.error(), {}};
  if (pool.password) {
    Secret::Value secret = pool.password->read();
    if (!secret.error.empty()) return Fault{1, 0, FaultKind::authentication, secret.error, {}};
    conninfo->set("password", std::move(secret.text));
  }
  Patience patience(time.now() + kConnectPatience);
  return db::Connection::connect({conninfo->text(), "ratchetd migrate", kStatement, nullptr, PoolRole::primary},
                                 patience, time);
}

void migrate_pool(PoolSettings pool, const std::string& owner_dsn, const TimeSource& time, int& exit_code) {
  if (!owner_dsn.empty()) {
    pool.dsn = owner_dsn;
    pool.password.reset();
  }
  auto connection = connect(pool, time);
  if (!connection) {
    std::cerr << "migrate: " << connection.error().text << '\n';
    exit_code = kExitUnreachable;
    return;
  }
  auto done = db::migrate(**connection);
  if (!done) {
    std::cerr << "migrate: database " << pool.name << ": " << done.error().text << '\n';
    exit_code = 1;
    return;
  }
  for (const auto& line : *done)
    std::cout << "database " << pool.name << ": " << line << '\n';
}

}  // namespace

int check(const Loaded& loaded) {
  for (const auto& warning : loaded.warnings)
    std::cerr << "warning: " << warning.pointer << ": " << warning.text << '\n';
  for (const auto& [name, pool] : loaded.settings->pools)
    std::cout << sizing(pool) << '\n';
  std::cout << to_string(memory_need(*loaded.settings)) << '\n';
  std::cout << "configuration is good: " << loaded.settings->routes.size() << " route(s)\n";
  return 0;
}

int migrate(const Settings& settings, const std::string& owner_dsn, const std::string& only, const TimeSource& time) {
  std::vector<const PoolSettings*> pools;
  for (const auto& [name, pool] : settings.pools)
    if (pool.is_outbox() && (only.empty() || name == only)) pools.push_back(&pool);
  if (pools.empty() || (!owner_dsn.empty() && pools.size() > 1)) {
    std::cerr << (pools.empty() ? "migrate: no outbox pool " + only
                                : "migrate: --dsn with several outbox pools: add --pool")
              << '\n';
    return kExitUsage;
  }
  int exit_code = 0;
  for (const PoolSettings* pool : pools)
    migrate_pool(*pool, owner_dsn, time, exit_code);
  return exit_code;
}

int reference(bool schema) {
  std::cout << (schema ? schema_json() : reference_text()) << '\n';
  return 0;
}

}  // namespace ratchet
