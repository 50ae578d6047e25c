#include "levels/1_database/databases.hpp"

#include <algorithm>

namespace ratchet::db {

Databases::Databases(Parts parts) : time_(parts.time) {
  const Settings& settings = parts.settings;
  for (const auto& [name, pool] : settings.pools) {
    One one;
    if (!pool.required) {
      one.climber = std::make_unique<Climber>(
          Climber::Parts{name, parts.time, parts.log, parts.metrics, parts.alarms, parts.history, parts.chance});
    }
    FaultSink& faults = one.climber ? static_cast<FaultSink&>(*one.climber) : parts.faults;
    one.database = std::make_unique<Database>(pool, Database::Parts{{settings.instance, parts.time, parts.log,
                                                                     parts.metrics, parts.alarms, faults, parts.chance},
                                                                    settings.outbox.queue_bytes,
                                                                    settings.outbox.committers});
    all_.push_back(std::move(one));
  }
}

Databases::~Databases() { stop(); }

void Databases::start() {
  for (auto& one : all_)
    if (one.climber) one.climber->start(*one.database);
}

void Databases::stop() {
  for (auto& one : all_)
    if (one.climber) one.climber->stop();
}

std::vector<Database*> Databases::required() noexcept {
  std::vector<Database*> found;
  for (auto& one : all_)
    if (!one.climber) found.push_back(one.database.get());
  return found;
}

std::vector<Database*> Databases::outboxes() noexcept {
  std::vector<Database*> found;
  for (auto& one : all_)
    if (one.database->commits() != nullptr) found.push_back(one.database.get());
  return found;
}

void Databases::set_sink(CommitSink* sink) noexcept {
  for (Database* database : outboxes())
    database->commits()->set_sink(sink);
}

std::vector<PoolStatus> Databases::status() const {
  std::vector<PoolStatus> list;
  for (const auto& one : all_) {
    const PoolSettings& settings = one.database->settings();
    const Pool& pool = one.database->pool();
    PoolStatus status{settings.name, settings.role,     settings.required, settings.is_outbox(),
                      pool.counts(), pool.last_error(), std::nullopt};
    const auto next = one.climber ? one.climber->next_attempt() : std::nullopt;
    if (next) status.next_attempt = time_.wall() + std::chrono::duration_cast<WallTime::duration>(*next - time_.now());
    list.push_back(std::move(status));
  }
  return list;
}

const Databases::One* Databases::find(std::string_view pool) const noexcept {
  const auto found =
      std::find_if(all_.begin(), all_.end(), [&](const One& one) { return one.database->settings().name == pool; });
  return found == all_.end() ? nullptr : &*found;
}

std::optional<TimePoint> Databases::next_attempt(std::string_view pool) const {
  const One* one = find(pool);
  return one != nullptr && one->climber ? one->climber->next_attempt() : std::nullopt;
}

std::optional<std::string> Databases::missing() const {
  std::string all;
  for (const auto& one : all_) {
    const auto why = one.climber ? one.climber->missing() : std::nullopt;
    if (why) all += (all.empty() ? "" : "; ") + *why;
  }
  return all.empty() ? std::nullopt : std::optional(all);
}

bool Databases::can_commit() const {
  return std::any_of(all_.begin(), all_.end(), [](const One& one) {
    const GroupCommit* commits = one.database->commits();
    return commits != nullptr && commits->accepts() && one.database->pool().counts().open > 0;
  });
}

Result<int, std::string> Databases::reconnect(std::string_view pool) {
  const One* one = find(pool);
  if (one == nullptr) return "no pool " + std::string(pool);
  const int count = one->database->pool().reconnect();
  if (count == 0) return "pool " + std::string(pool) + " is not connected";
  return count;
}

}  // namespace ratchet::db
