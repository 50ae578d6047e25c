#include "daemon/file_budget.hpp"

#include <algorithm>

#include "levels/0_baseline/reactor.hpp"

namespace ratchet {
namespace {

constexpr std::size_t kOwn = 32;         // log, epoll, event counters, sockets that listen, files that are read for a moment
constexpr std::size_t kControl = 48;     // the control socket's clients
constexpr std::size_t kPerPool = 4;      // being opened, names being resolved
constexpr std::size_t kPerBroker = 32;   // a producer's: two or three for each broker of the cluster

std::size_t others(const Settings& settings) {
  std::size_t files = kOwn + kControl;
  for (const auto& [name, pool] : settings.pools) {
    files += static_cast<std::size_t>(pool.size) + kPerPool;
    if (pool.is_outbox()) files += kPerBroker;
  }
  return files;
}

// The most connections, up to `wanted`, for whose port `files` are enough; at least 1.
std::size_t fitting(std::size_t wanted, std::size_t files) {
  std::size_t low = 1, high = wanted;
  while (low < high) {
    const std::size_t middle = high - (high - low) / 2;
    if (http::most_connections(middle) <= files) low = middle;
    else high = middle - 1;
  }
  return low;
}

}  // namespace

FileBudget share_files(const Settings& settings, std::size_t most) {
  const std::size_t service = settings.service.limits.connections;
  const std::size_t ops = settings.ops.connections;
  const std::size_t set_aside = others(settings);
  FileBudget budget;
  budget.needed = set_aside + http::most_connections(ops) + http::most_connections(service);
  const std::size_t rest = most - std::min(most, set_aside);
  budget.ops_connections = budget.needed <= most ? ops : fitting(ops, std::max(rest / 4, std::min(rest / 2, http::most_connections(64))));
  const std::size_t for_ops = http::most_connections(budget.ops_connections);
  budget.service_connections = fitting(service, rest - std::min(rest, for_ops));
  return budget;
}

}  // namespace ratchet
