#include "daemon/file_budget.hpp"

#include <rapidcheck.h>

#include <limits>

#include "levels/0_baseline/reactor.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;

namespace {

Settings asking_for(std::size_t service, std::size_t ops) {
  Settings settings;
  settings.service.limits.connections = service;
  settings.ops.connections = ops;
  settings.pools["main"].outbox = true;
  return settings;
}

}  // namespace

TEST_CASE("file budget: where there are files enough nothing changes") {
  const Settings settings = asking_for(10'000, 64);
  const std::size_t needed = share_files(settings, 0).needed;
  CHECK(needed > 10'000 + 64 + 2 * http::kReserve);
  for (const std::size_t most : {needed, needed + 1, std::numeric_limits<std::size_t>::max()}) {
    const FileBudget budget = share_files(settings, most);
    CHECK(budget.service_connections == 10'000);
    CHECK(budget.ops_connections == 64);
  }
  CHECK(share_files(settings, needed - 1).service_connections < 10'000);
}

TEST_CASE("file budget: with 1024 files most of them are the service's") {
  const FileBudget budget = share_files(asking_for(10'000, 64), 1024);
  CHECK(budget.ops_connections == 64);
  CHECK(budget.service_connections > 400);
}

TEST_CASE("file budget: what both ports may use fits into the rest, whatever was asked for") {
  CHECK(rc::check([] {
    const Settings settings = asking_for(*rc::gen::inRange<std::size_t>(1, 200'000), *rc::gen::inRange<std::size_t>(1, 10'001));
    const auto most = *rc::gen::inRange<std::size_t>(0, 100'000);
    const FileBudget budget = share_files(settings, most);
    RC_ASSERT(budget.service_connections >= 1);
    RC_ASSERT(budget.ops_connections >= 1);
    RC_ASSERT(budget.service_connections <= settings.service.limits.connections);
    RC_ASSERT(budget.ops_connections <= settings.ops.connections);
    const std::size_t others = budget.needed - http::most_connections(settings.service.limits.connections) -
                               http::most_connections(settings.ops.connections);
    const std::size_t used = others + http::most_connections(budget.service_connections) + http::most_connections(budget.ops_connections);
    if (most >= others + 2 * http::most_connections(1) + 2) RC_ASSERT(used <= most);
  }));
}
