#include "levels/1_database/level.hpp"

#include "levels/1_database/schema.hpp"

namespace ratchet::db {
namespace {

constexpr auto kRaise = std::chrono::seconds(5);
constexpr ProbePlan kProbe{std::chrono::seconds(1), std::chrono::milliseconds(750), 2};

class HeldDatabase final : public HeldLevel {
 public:
  HeldDatabase(Pool& pool, GroupCommit& commits, const TimeSource& time)
      : pool_(pool), commits_(commits), time_(time) {}
  ~HeldDatabase() override {
    Patience none(time_.now());
    let_go(none, Leave::fault);
  }
  HeldDatabase(const HeldDatabase&) = delete;
  HeldDatabase& operator=(const HeldDatabase&) = delete;

  std::optional<Fault> probe(Patience& patience) override { return pool_.probe(patience); }
  void drain(Patience& patience, Leave leave) override { let_go(patience, leave); }
  std::optional<std::string> degraded() const override { return pool_.degraded(); }

 private:
  void let_go(Patience& patience, Leave leave) {
    if (gone_) return;
    gone_ = true;
    commits_.stop(patience, leave);
    Patience none(time_.now());
    pool_.close(leave == Leave::asked ? patience : none);
  }

  Pool& pool_;
  GroupCommit& commits_;
  const TimeSource& time_;
  bool gone_ = false;
};

}  // namespace

DatabaseLevel::DatabaseLevel(Pool& pool, GroupCommit& commits, const TimeSource& time, Log& log)
    : pool_(pool), commits_(commits), time_(time), log_(log) {}

Duration DatabaseLevel::raise_patience() const noexcept { return kRaise; }
ProbePlan DatabaseLevel::probe_plan() const noexcept { return kProbe; }

Result<std::unique_ptr<HeldLevel>> DatabaseLevel::raise(Patience& patience, Incarnation incarnation) {
  if (auto opened = pool_.open(patience, incarnation); !opened) return std::move(opened).error();
  auto fault = verify(patience);
  if (!fault) {
    if (auto started = commits_.start(patience); !started) fault = std::move(started).error();
  }
  if (fault) {
    Patience none(time_.now());
    pool_.close(none);
    fault->level = 1;
    fault->incarnation = incarnation;
    return *std::move(fault);
  }
  log_.debug("schema verified, committer started", {{"pool", pool_.settings().name}});
  return std::unique_ptr<HeldLevel>(std::make_unique<HeldDatabase>(pool_, commits_, time_));
}

// A fault that needs no more than the pool's name in front.
std::optional<Fault> DatabaseLevel::verify(Patience& patience) {
  const std::string prefix = "database " + pool_.settings().name + ": ";
  auto lease = pool_.lease(patience.deadline());
  if (!lease) {
    if (auto lost = pool_.fault()) return lost;
    return Fault{1, 0, FaultKind::timed_out, prefix + "no connection to look at its schema with", time_.now()};
  }
  lease->allow_until(patience.deadline());
  lease->bound_by(&patience);
  auto verified = verify_schema(**lease);
  if (verified) return std::nullopt;
  Fault fault = std::move(verified).error();
  fault.text.insert(0, prefix);
  fault.since = time_.now();
  return fault;
}

}  // namespace ratchet::db
