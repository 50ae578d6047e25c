#include "levels/2_broker/backlog.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::kafka;
using namespace std::chrono_literals;
using Budget = Backlog::Budget;

namespace {

const TimePoint kStart{std::chrono::hours(1)};

db::OutboxStats waiting(std::int64_t rows, double age, double at, std::int64_t bytes = 0) {
  return {rows, age, at, bytes, 0};
}

OutboxSettings small() {
  OutboxSettings budget;
  budget.max_rows = 100;
  budget.max_bytes = 1000;
  budget.max_age = 900s;
  return budget;
}

Backlog begun(const OutboxSettings& budget = small()) {
  Backlog backlog(budget, {10s, 60s});
  backlog.begin(kStart);
  return backlog;
}

}  // namespace

TEST_CASE("backlog: nothing is known before the first look, and not long after the last one") {
  Backlog backlog = begun();
  CHECK(backlog.known(kStart) == nullptr);
  backlog.looked(waiting(3, 1, 50), kStart + 1s);
  REQUIRE(backlog.known(kStart + 11s) != nullptr);
  CHECK(backlog.known(kStart + 11s)->unpublished_rows == 3);
  CHECK(backlog.known(kStart + 12s) == nullptr);
  CHECK(backlog.unseen(kStart + 12s) == 11s);
}

TEST_CASE("backlog: it stands still from the first look that shows it until less waits, or another is the oldest") {
  Backlog backlog = begun();
  backlog.looked(waiting(0, 0, 100), kStart);
  CHECK_FALSE(backlog.standing(kStart));
  backlog.looked(waiting(5, 20, 80), kStart + 1s);  // committed late: it has not waited for us
  CHECK(backlog.standing(kStart + 1s) == 0s);
  backlog.looked(waiting(9, 21, 80.002), kStart + 2s);  // more of it, the same one is the oldest
  CHECK(backlog.standing(kStart + 4s) == 3s);
  SECTION("less waits") { backlog.looked(waiting(8, 25, 80), kStart + 5s); }
  SECTION("another is the oldest") { backlog.looked(waiting(50, 25, 81), kStart + 5s); }
  SECTION("this instance moved the cursor") {
    backlog.looked(waiting(9, 25, 80), kStart + 5s);
    backlog.carried(kStart + 5s);
  }
  CHECK(backlog.standing(kStart + 5s) == 0s);
  backlog.looked(waiting(0, 0, 110), kStart + 6s);
  CHECK_FALSE(backlog.standing(kStart + 6s));
  backlog.carried(kStart + 6s);
  CHECK_FALSE(backlog.standing(kStart + 6s));
}

TEST_CASE("backlog: what was not looked at lately does not stand, it is unknown") {
  Backlog backlog = begun();
  backlog.looked(waiting(5, 1, 80), kStart);
  CHECK(backlog.standing(kStart + 10s) == 10s);
  CHECK_FALSE(backlog.standing(kStart + 11s));
  // And it stands since then, if the next look finds it where it was: across a restart, too.
  backlog.begin(kStart + 30s);
  backlog.looked(waiting(5, 31, 80), kStart + 30s);
  CHECK(backlog.standing(kStart + 30s) == 30s);
}

TEST_CASE("backlog: each bound of the budget counts, and is kept again only when well below") {
  Backlog backlog = begun();
  CHECK(backlog.judge(kStart) == Budget::kept);
  backlog.looked(waiting(100, 900, 0, 1000), kStart);
  CHECK(backlog.judge(kStart) == Budget::kept);
  SECTION("rows") {
    backlog.looked(waiting(101, 1, 0), kStart);
    CHECK(backlog.judge(kStart) == Budget::spent);
    backlog.looked(waiting(91, 1, 0), kStart);
    CHECK(backlog.judge(kStart) == Budget::spent);
    backlog.looked(waiting(90, 1, 0), kStart);
  }
  SECTION("bytes") {
    backlog.looked(waiting(1, 1, 0, 1001), kStart);
    CHECK(backlog.judge(kStart) == Budget::spent);
    backlog.looked(waiting(1, 1, 0, 900), kStart);
  }
  SECTION("age") {
    backlog.looked(waiting(1, 901, 0), kStart);
    CHECK(backlog.judge(kStart) == Budget::spent);
    backlog.looked(waiting(1, 810, 0), kStart);
  }
  CHECK(backlog.judge(kStart) == Budget::kept);
}

TEST_CASE("backlog: what waited grows older without being looked at") {
  Backlog backlog = begun();
  backlog.looked(waiting(1, 890, 0), kStart);
  CHECK(backlog.judge(kStart + 10s) == Budget::kept);
  CHECK(backlog.judge(kStart + 11s) == Budget::spent);
  backlog.looked(waiting(0, 0, 0), kStart + 12s);
  CHECK(backlog.judge(kStart + 30s) == Budget::kept);  // nothing waited
}

TEST_CASE("backlog: unseen for a minute the budget counts as spent, whatever the last look said") {
  Backlog backlog = begun();
  CHECK(backlog.judge(kStart + 59s) == Budget::kept);
  CHECK(backlog.judge(kStart + 60s) == Budget::unknown);
  backlog.looked(waiting(0, 0, 0), kStart + 61s);
  CHECK(backlog.judge(kStart + 120s) == Budget::kept);
  CHECK(backlog.judge(kStart + 121s) == Budget::unknown);
  backlog.begin(kStart + 130s);
  CHECK(backlog.judge(kStart + 130s) == Budget::kept);
}

TEST_CASE("backlog: a budget of less than a minute is spent as soon, but not before a look is old") {
  OutboxSettings budget = small();
  budget.max_age = 20s;
  Backlog twenty = begun(budget);
  CHECK(twenty.judge(kStart + 19s) == Budget::kept);
  CHECK(twenty.judge(kStart + 20s) == Budget::unknown);
  budget.max_age = 1s;
  Backlog one = begun(budget);
  CHECK(one.judge(kStart + 9s) == Budget::kept);
  CHECK(one.judge(kStart + 10s) == Budget::unknown);
}
