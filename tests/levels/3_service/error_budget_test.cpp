#include "levels/3_service/error_budget.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::service;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Change = Breaker::Change;
using Verdict = Resets::Verdict;

namespace {

constexpr TimePoint kNow{std::chrono::hours(1)};

void open_route(ErrorBudget& budget, std::size_t route, TimePoint now) {
  for (int i = 0; i < 4; ++i)
    REQUIRE(budget.failed(route, std::nullopt, now, 0) == Change::none);
  REQUIRE(budget.failed(route, std::nullopt, now, 0) == Change::opened);
}

void open_port(ErrorBudget& budget, TimePoint now) {
  for (int i = 0; i < 4; ++i)
    REQUIRE(budget.accept_failed(now, 0) == Change::none);
  REQUIRE(budget.accept_failed(now, 0) == Change::opened);
}

}  // namespace

TEST_CASE("error budget: five errors of one route in ten seconds close that route, and no other") {
  ErrorBudget budget(2);
  open_route(budget, 1, kNow);
  CHECK(budget.is_closed(0));
  CHECK_FALSE(budget.is_closed(1));
  CHECK_FALSE(budget.ask(1, kNow + milliseconds(4999), 0));
  CHECK(budget.closed_until(1) == kNow + seconds(5));
  CHECK_FALSE(budget.wants_reset());
}

TEST_CASE("error budget: errors that are spread over routes or over time close none") {
  ErrorBudget budget(5);
  for (std::size_t i = 0; i < 20; ++i)
    CHECK(budget.failed(i % 5, std::nullopt, kNow, 0) == Change::none);
  TimePoint now = kNow + seconds(10);
  for (int i = 0; i < 20; ++i, now += seconds(3))
    CHECK(budget.failed(0, std::nullopt, now, 0) == Change::none);
}

TEST_CASE("error budget: a route that tries again and does well is closed no more") {
  ErrorBudget budget(1);
  open_route(budget, 0, kNow);
  const auto probe = budget.ask(0, kNow + seconds(5), 0);
  REQUIRE(probe);
  CHECK_FALSE(budget.ask(0, kNow + seconds(5), 0));
  CHECK(budget.probed(0, *probe, Breaker::Call::good, kNow + seconds(5), 0) == Change::closed);
  CHECK(budget.is_closed(0));
}

TEST_CASE("error budget: three routes that fail together want a reset, two do not") {
  ErrorBudget budget(3);
  open_route(budget, 0, kNow);
  open_route(budget, 1, kNow);
  CHECK_FALSE(budget.wants_reset());
  open_route(budget, 2, kNow);
  CHECK(budget.wants_reset());
  budget.reset();
  CHECK_FALSE(budget.wants_reset());
  CHECK(budget.is_closed(2));
}

TEST_CASE("error budget: a single route wants a reset when it failed both its probes") {
  ErrorBudget budget(1);
  open_route(budget, 0, kNow);
  CHECK(budget.failed(0, budget.ask(0, kNow + seconds(5), 0), kNow + seconds(5), 0) == Change::opened);
  CHECK_FALSE(budget.wants_reset());
  CHECK(budget.failed(0, budget.ask(0, kNow + seconds(15), 0), kNow + seconds(15), 0) == Change::opened);
  CHECK(budget.wants_reset());
}

TEST_CASE("error budget: connections that cannot be accepted open the port, and a quiet second closes it") {
  ErrorBudget budget(1);
  CHECK_FALSE(budget.port_is_open(kNow, 0));
  open_port(budget, kNow);
  CHECK(budget.is_closed(0));
  CHECK(budget.port_is_open(kNow + milliseconds(4999), 0));
  CHECK(budget.port_is_open(kNow + seconds(5), 0));
  CHECK(budget.port_is_open(kNow + milliseconds(5999), 0));
  CHECK_FALSE(budget.port_is_open(kNow + seconds(6), 0));
}

TEST_CASE("error budget: a port that stays short of files wants a reset, asked for or not") {
  const bool asked = GENERATE(false, true);
  ErrorBudget budget(1);
  open_port(budget, kNow);
  for (TimePoint now = kNow; now < kNow + seconds(15); now += milliseconds(100)) {
    CHECK_FALSE(budget.wants_reset());
    if (asked) CHECK(budget.port_is_open(now, 0));
    budget.accept_failed(now, 0);
  }
  budget.accept_failed(kNow + milliseconds(15'100), 0);
  CHECK(budget.wants_reset());
}

TEST_CASE("error budget: shortages of files that lie far apart do not add up, though nobody looked in between") {
  ErrorBudget budget(1);
  TimePoint now = kNow;
  for (int i = 0; i < 5; ++i, now += seconds(60)) {
    open_port(budget, now);
    CHECK_FALSE(budget.wants_reset());
    if (i % 2 == 0) CHECK(budget.port_is_open(now + seconds(5), 0));
  }
  CHECK_FALSE(budget.port_is_open(now, 0));
}

TEST_CASE("resets: what is wanted is done at once, and the third wish in a minute is a fault for good") {
  Resets resets;
  CHECK(resets.look(false, 0, 4, kNow) == Verdict::well);
  CHECK(resets.look(true, 0, 4, kNow) == Verdict::reset);
  CHECK(resets.look(false, 0, 4, kNow + seconds(1)) == Verdict::well);
  CHECK(resets.look(true, 0, 4, kNow + seconds(30)) == Verdict::reset);
  SECTION("within the minute") {
    CHECK(resets.look(true, 0, 4, kNow + seconds(60)) == Verdict::fault);
    CHECK(resets.look(false, 0, 4, kNow + seconds(60)) == Verdict::fault);
  }
  SECTION("after it") { CHECK(resets.look(true, 0, 4, kNow + milliseconds(60'001)) == Verdict::reset); }
}

TEST_CASE("resets: a quarter of the workers stuck is enough, seen twice in a row") {
  Resets resets;
  CHECK(resets.look(false, 1, 5, kNow) == Verdict::well);
  CHECK(resets.look(false, 1, 4, kNow) == Verdict::suspect);
  CHECK(resets.look(false, 0, 4, kNow) == Verdict::well);
  CHECK(resets.look(false, 2, 4, kNow) == Verdict::suspect);
  CHECK(resets.look(false, 2, 4, kNow) == Verdict::reset);
  CHECK(resets.look(false, 1, 4, kNow) == Verdict::suspect);
}
