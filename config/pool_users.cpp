#include "config/pool_users.hpp"

#include <algorithm>

#include "config/describe.hpp"
#include "config/spelling.hpp"
#include "config/syntax.hpp"

namespace ratchet {

namespace {

using Sound = std::function<bool(std::string_view)>;
using Report = std::function<void(CrossMistake)>;
using Names = std::vector<std::string_view>;

void resolve_route(const Settings& settings, EventRoute& route, const RouteSpot& spot, const Names& outboxes,
                   const Sound& sound, const Report& report) {
  const std::string pointer = spot.pointer + "/pool";
  if (!sound(pointer)) return;
  std::string known;
  for (const std::string_view name : outboxes)
    known += (known.empty() ? "" : ", ") + std::string(name);
  if (route.pools.empty() && outboxes.size() > 1)
    return report({pointer, "nothing", "one or several of the outbox pools: " + known});
  if (route.pools.empty()) route.pools.emplace_back(outboxes.front());
  for (std::size_t i = 0; i < route.pools.size(); ++i) {
    const std::string& name = route.pools[i];
    if (std::find(outboxes.begin(), outboxes.end(), name) != outboxes.end()) continue;
    const bool there = settings.pools.count(name) > 0;
    report({spot.listed ? pointer + "/" + std::to_string(i) : pointer,
            (there ? "pool " : "unknown pool ") + shown(name) + (there ? ", which is no outbox" : ""),
            "one of the outbox pools: " + known, closest(name, outboxes)});
  }
}

}  // namespace

void resolve_pools(Settings& settings, const std::vector<RouteSpot>& spots, const Sound& sound, const Report& report) {
  if (!sound("/database/pools") || settings.pools.empty()) return;
  const auto primaries = std::count_if(settings.pools.begin(), settings.pools.end(),
                                       [](const auto& one) { return one.second.role == PoolRole::primary; });
  Names outboxes;
  bool required = false;
  for (auto& [name, pool] : settings.pools) {
    const std::string pointer = "/database/pools" + pointer_step(name) + "/outbox";
    const bool replica = pool.role == PoolRole::replica;
    if (replica && pool.is_outbox()) report({pointer, "true", "false: a replica takes no events"});
    if (!replica && !pool.outbox && primaries > 1)
      report({pointer, "nothing", "true or false: there are several primary pools"});
    if (!pool.outbox) pool.outbox = !replica && primaries == 1;
    if (pool.is_outbox()) outboxes.push_back(name);
    required = required || pool.required;
  }
  const std::string pools = "/database/pools";
  if (!required) report({pools, "no required pool", "at least one pool that is `required`"});
  if (!sound(pools)) return;
  if (outboxes.empty() && !settings.routes.empty())
    return report({pools, "no outbox pool", "at least one `outbox`: event routes keep their events there"});
  for (std::size_t i = 0; i < settings.routes.size(); ++i)
    resolve_route(settings, settings.routes[i], spots[i], outboxes, sound, report);
}

}  // namespace ratchet
