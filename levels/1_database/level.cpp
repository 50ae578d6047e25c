#include "levels/1_database/level.hpp"

#include <algorithm>

#include "levels/1_database/schema.hpp"

namespace ratchet::db {
namespace {

// What may not be missing for long: the committers, the relay, and a connection for the probe.
int needed(const PoolSettings& settings, const Database::Parts& parts) {
  return settings.is_outbox() ? std::min(settings.size, parts.committers + 2) : 1;
}

Pool::Parts with_needs(Pool::Parts parts, int needed) {
  parts.needed = needed;
  return parts;
}

constexpr auto kRaise = std::chrono::seconds(5);
constexpr auto kOneMore = std::chrono::seconds(1);  // for each connection that is needed beside the first
constexpr ProbePlan kProbe{std::chrono::seconds(1), std::chrono::milliseconds(750), 2};

}  // namespace

class Database::Held final : public HeldLevel {
 public:
  explicit Held(Database& database) : database_(database) { database_.up(true); }
  ~Held() override {
    Patience none(database_.time_.now());
    let_go(none, Leave::fault);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  std::optional<Fault> probe(Patience& patience) override {
    if (!database_.commits_) return database_.pool_.probe(patience);
    return database_.pool_.probe(patience, [this](Connection& connection) { return database_.verify_on(connection); });
  }
  void drain(Patience& patience, Leave leave) override { let_go(patience, leave); }
  std::optional<std::string> degraded() const override { return database_.pool_.degraded(); }

 private:
  void let_go(Patience& patience, Leave leave) {
    if (gone_) return;
    gone_ = true;
    if (database_.commits_) database_.commits_->stop(patience, leave);
    Patience none(database_.time_.now());
    database_.pool_.close(leave == Leave::asked ? patience : none);
    database_.up(false);
  }

  Database& database_;
  bool gone_ = false;
};

Database::Database(const PoolSettings& settings, Parts parts)
    : time_(parts.pool.time),
      needed_(needed(settings, parts)),
      pool_(settings, with_needs(parts.pool, needed_)),
      up_(parts.pool.metrics.gauge("ratchet_pool_up", "1 while the pool is connected", {{"pool", settings.name}})) {
  if (settings.is_outbox()) {
    commits_.emplace(GroupCommit::Parts{pool_, parts.pool.time, parts.pool.log, parts.pool.metrics, parts.queue_bytes,
                                        parts.committers});
  }
}

Duration Database::raise_patience() const noexcept { return kRaise + (needed_ - 1) * kOneMore; }
ProbePlan Database::probe_plan() const noexcept { return kProbe; }

Result<std::unique_ptr<HeldLevel>> Database::raise(Patience& patience, Incarnation incarnation) {
  if (auto opened = pool_.open(patience, incarnation); !opened) return std::move(opened).error();
  std::optional<Fault> fault;
  if (commits_) {
    fault = verify(patience);
    if (!fault) {
      if (auto started = commits_->start(patience); !started) fault = std::move(started).error();
    }
  }
  if (fault) {
    Patience none(time_.now());
    pool_.close(none);
    fault->level = 1;
    fault->incarnation = incarnation;
    pool_.remember(fault->text);
    return *std::move(fault);
  }
  return std::unique_ptr<HeldLevel>(std::make_unique<Held>(*this));
}

// A fault that needs no more than its incarnation.
std::optional<Fault> Database::verify(Patience& patience) {
  const std::string prefix = "database " + settings().name + ": ";
  auto lease = pool_.lease(patience.deadline());
  if (!lease) {
    if (auto lost = pool_.fault()) return lost;
    return Fault{1, 0, FaultKind::timed_out, prefix + "no connection to look at its schema with", time_.now()};
  }
  lease->allow_until(patience.deadline());
  lease->bound_by(&patience);
  return verify_on(**lease);
}

std::optional<Fault> Database::verify_on(Connection& connection) {
  auto verified = verify_schema(connection);
  if (verified) verified = verify_append(connection);
  if (verified) return std::nullopt;
  Fault fault = std::move(verified).error();
  fault.text.insert(0, "database " + settings().name + ": ");
  fault.since = time_.now();
  return fault;
}

}  // namespace ratchet::db
