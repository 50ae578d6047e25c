#include "tests/simulation/pool.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace ratchet::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kStatement = seconds(5);  // PoolSettings::statement
constexpr auto kNap = milliseconds(20);  // Patience::nap

}  // namespace

std::optional<Fault> Pool::obstacle(const World& world) {
  const auto fault = [&world](FaultKind kind, const char* text) { return Fault{1, 0, kind, text, world.time.now()}; };
  switch (world.database.mood()) {
    case Database::Mood::up:
      return std::nullopt;
    case Database::Mood::refused:
      return fault(FaultKind::refused, "refused");
    case Database::Mood::frozen:
      return fault(FaultKind::timed_out, "no answer in time");
    case Database::Mood::read_only:
      return fault(FaultKind::read_only, "a standby");
    case Database::Mood::no_room:
      return fault(FaultKind::too_many_connections, "no connection left");
    case Database::Mood::wrong_password:
      return fault(FaultKind::authentication, "wrong password");
  }
  return std::nullopt;
}

void Pool::open(Incarnation incarnation) {
  world_.judge.must(!open_ && connections_.empty(), "a level is reset, never repaired", "pool opened twice");
  ++attempts_;
  open_ = true;
  lost_.reset();
  failed_at_.reset();
  connecting_ = false;
  incarnation_ = incarnation;
  refill_.open();
  join();
  refill_.step(live(), TimePoint::min(), world_.dice.chance());
  connect_more();
}

void Pool::close() {
  ++attempts_;
  open_ = false;
  connecting_ = false;
  std::vector<std::function<void(Answer)>> waiting;
  for (auto& [connection, slot] : connections_) {
    world_.database.abandon(connection);
    if (slot.pending) waiting.push_back(std::move(slot.pending));
  }
  connections_.clear();
  for (const auto& then : waiting)
    then(Answer::lost);
}

std::optional<Fault> Pool::probe() const {
  if (lost_) return lost_;
  if (const auto hindrance = obstacle(world_);
      hindrance && hindrance->kind != FaultKind::too_many_connections && hindrance->kind != FaultKind::authentication)
    return hindrance;  // those two only hinder new connections
  if (connections_.empty()) return Fault{1, 0, FaultKind::connection_lost, "no connection", world_.time.now()};
  return std::nullopt;
}

Pool::Connection Pool::lease() {
  if (!open_ || lost_) return 0;
  for (auto& [connection, slot] : connections_) {
    if (slot.lent) continue;
    slot.lent = true;
    return connection;
  }
  return 0;
}

void Pool::give_back(Connection connection) {
  const auto found = connections_.find(connection);
  if (found != connections_.end()) found->second.lent = false;
}

void Pool::discard(Connection connection) {
  if (!works(connection)) return;
  world_.database.abandon(connection);
  ended(connection);
}

void Pool::call(Connection connection, bool writes, Database::Statement statement, std::function<void(Answer)> then) {
  const auto found = connections_.find(connection);
  if (found == connections_.end()) {
    then(Answer::lost);
    return;
  }
  Slot& slot = found->second;
  world_.judge.must(!slot.pending, "one call at a time on a connection");
  slot.pending = std::move(then);
  const std::uint64_t number = ++slot.call;
  after(kStatement, [this, connection, number] {
    const auto late = connections_.find(connection);
    if (late == connections_.end() || late->second.call != number || !late->second.pending) return;
    discard(connection);  // the watchdog cuts it
  });
  world_.database.send(connection, writes, std::move(statement),
                       [this, life = std::weak_ptr<int>(life_), connection](Answer said) {
                         if (!life.expired()) answer(connection, said);
                       });
}

void Pool::answer(Connection connection, Answer said) {
  const auto found = connections_.find(connection);
  if (found == connections_.end() || !found->second.pending) return;
  const auto then = std::exchange(found->second.pending, nullptr);
  if (said == Answer::read_only) lose(FaultKind::read_only, "a standby");
  then(said);
}

// ---- connections -------------------------------------------------------------------------------------------------

void Pool::join() {
  const auto connection = std::make_shared<Connection>(0);
  *connection = world_.database.connect([this, life = std::weak_ptr<int>(life_), connection] {
    if (!life.expired()) ended(*connection);
  });
  refill_.joined(live());
  connections_.emplace(*connection, Slot{});
  world_.judge.must(live() <= kSize, "a pool never has more connections than its size");
}

void Pool::ended(Connection connection) {
  const auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  const auto then = std::move(found->second.pending);
  connections_.erase(found);
  if (open_ && !lost_) {
    const bool hurry = refill_.lost_one(live());
    if (hurry && connecting_) connect_until_ = std::min(connect_until_, world_.time.now() + db::Refill::patience(0));
    connect_more();
  }
  if (then) then(Answer::lost);
}

void Pool::connect_more() {
  if (!open_ || lost_ || connecting_) return;
  const auto due = refill_.due(live());
  if (!due) return;
  const std::uint64_t number = ++attempts_;
  world_.time.at(std::max(*due, world_.time.now()), [this, life = std::weak_ptr<int>(life_), number] {
    if (life.expired() || number != attempts_) return;
    connecting_ = true;
    alone_ = live() == 0;
    connect_until_ = world_.time.now() + db::Refill::patience(live());
    world_.judge.must(!failed_at_ || alone_ || world_.time.now() - *failed_at_ >= BackoffSettings{}.base,
                      "a pool that was refused waits before it tries again");
    after(world_.dice.between(milliseconds(1), milliseconds(15)), [this, number] { attempt(number); });
  });
}

void Pool::attempt(std::uint64_t number) {
  if (number != attempts_) return;
  const TimePoint now = world_.time.now();
  world_.judge.must(open_ && !lost_, "while nothing works only the ladder tries", "the pool connects by itself");
  if (world_.database.frozen() && now < connect_until_) {
    world_.time.at(std::min(connect_until_, now + kNap), [this, life = std::weak_ptr<int>(life_), number] {
      if (!life.expired()) attempt(number);
    });
    return;
  }
  connecting_ = false;
  const auto hindrance = obstacle(world_);
  if (!hindrance) {
    failed_at_.reset();
    join();
    refill_.step(live(), now, world_.dice.chance());
  } else {
    failed_at_ = now;
    if (refill_.failed(hindrance->kind, live(), alone_, now, world_.dice.chance()) == db::Refill::Verdict::lost)
      lose(hindrance->kind, "all connections lost");
  }
  connect_more();
}

void Pool::lose(FaultKind kind, const char* text) {
  if (!open_ || lost_) return;
  lost_ = Fault{1, incarnation_, kind, text, world_.time.now()};
  faults_.report(*lost_);
}

}  // namespace ratchet::simulation
