// The pool's first connections: all that are needed, or none, each on a session that stays its own.
#include <algorithm>

#include "levels/1_database/pool_inside.hpp"
#include "levels/1_database/pooler.hpp"

namespace ratchet::db {
namespace {

constexpr auto kRoleCheck = std::chrono::seconds(2);
constexpr int kPoolerRounds = 2;

}  // namespace

std::optional<Fault> Pool::Inside::first_connections(Patience& patience, Connections& all) {
  PoolerCheck pooler;
  auto pooled = [&] {
    return Fault{1, 0, FaultKind::pooler, *pooler.proof() + " (" + where_ + ")", parts_.time.now()};
  };
  while (static_cast<int>(all.size()) < parts_.needed) {
    auto fault = one_more(patience, all, pooler);
    if (pooler.proof()) return pooled();
    if (fault) return all.empty() ? *fault : too_few(*fault, static_cast<int>(all.size()));
    if (all.size() > 1 || settings_.role != PoolRole::primary) continue;
    if (auto hung = hindrance(*all.front(), patience)) return hung;
  }
  for (int round = 0; round < kPoolerRounds && pooler.suspected() && all.size() > 1; ++round) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      // Twice in a row: whoever deals out backends in turn, deals another one then.
      for (int again = 0; again < 2; ++again) {
        if (auto fault = see_backend(*all[i], i, patience, pooler)) return fault;
        if (pooler.proof()) return pooled();
      }
    }
  }
  return std::nullopt;
}

std::optional<Fault> Pool::Inside::one_more(Patience& patience, Connections& all, PoolerCheck& pooler) {
  auto connection = connect(patience);
  if (!connection) return connection.error();
  {
    std::lock_guard lock(mutex_);
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->connection = connection->get();
  }
  const int told = (*connection)->backend();
  const auto until = std::min(patience.deadline(), parts_.time.now() + kRoleCheck);
  const auto role = check_role(**connection, until, patience);
  if (!role) {
    std::lock_guard lock(mutex_);
    note_left(**connection);
    remove(connection->get(), {});
    return role.error();
  }
  pooler.saw(all.size(), told, (*connection)->backend());
  all.push_back(*std::move(connection));
  return std::nullopt;
}

std::optional<Fault> Pool::Inside::see_backend(Connection& connection, std::size_t which, Patience& patience,
                                               PoolerCheck& pooler) {
  connection.allow_until(patience.deadline());
  bind(&connection, &patience);
  watch_until(patience.deadline());
  const auto answer = connection.exec("select pg_backend_pid()");
  bind(&connection, nullptr);
  if (!answer) {
    return Fault{1, 0, fault_kind(answer.error()), answer.error().text + " (" + where_ + ")", parts_.time.now()};
  }
  pooler.saw(which, kPooled, static_cast<int>(answer->integer(0, 0)));
  return std::nullopt;
}

// A server says that it has no more, a pooler lets us wait.
Fault Pool::Inside::too_few(const Fault& why, int got) const {
  if (why.kind != FaultKind::too_many_connections && why.kind != FaultKind::timed_out) return why;
  return {1, 0, FaultKind::too_few_connections,
          "only " + std::to_string(got) + " of the " + std::to_string(parts_.needed) +
              " connections that probe, relay and committers need: " + why.text,
          parts_.time.now()};
}

}  // namespace ratchet::db
