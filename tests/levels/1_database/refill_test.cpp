#include "levels/1_database/refill.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::db;
using std::chrono::seconds;
using Verdict = Refill::Verdict;

namespace {

const TimePoint kNow{std::chrono::hours(1)};

// An open pool of this size with all its connections.
Refill full(int size) {
  Refill refill(size);
  refill.open();
  for (int live = 0; live < size; ++live) {
    refill.joined(live);
    refill.step(live + 1, kNow, 0);
  }
  return refill;
}

}  // namespace

TEST_CASE("refill: starts with one connection, then two more, then four more") {
  Refill refill(8);
  refill.open();
  CHECK(refill.missing(0) == 1);
  refill.joined(0);
  CHECK_FALSE(refill.step(1, kNow, 0));
  CHECK(refill.missing(1) == 2);
  CHECK(*refill.due(1) > kNow);  // after a pause
  CHECK_FALSE(refill.step(2, kNow, 0));
  CHECK(refill.missing(2) == 1);
  CHECK_FALSE(refill.step(3, kNow, 0));
  CHECK(refill.missing(3) == 4);
}

TEST_CASE("refill: a full pool wants nothing") {
  Refill refill = full(8);
  CHECK(refill.step(8, kNow, 0));
  CHECK_FALSE(refill.due(8));
}

TEST_CASE("refill: one lost among others is replaced at leisure, the last one at once") {
  Refill refill = full(2);
  CHECK_FALSE(refill.lost_one(1));
  CHECK(refill.missing(1) == 1);
  CHECK(refill.lost_one(0));
  CHECK(*refill.due(0) < kNow);
}

TEST_CASE("refill: the one attempt after all are lost decides") {
  Refill refill = full(2);
  refill.lost_one(0);
  CHECK(refill.failed(FaultKind::refused, 0, true, kNow, 0) == Verdict::lost);
}

TEST_CASE("refill: an attempt that was lost along with the others was not yet that one") {
  Refill refill = full(2);
  refill.lost_one(0);
  CHECK(refill.failed(FaultKind::connection_lost, 0, false, kNow, 0) == Verdict::at_once);
  CHECK(*refill.due(0) < kNow);
}

TEST_CASE("refill: while others serve a failed attempt is repeated after a rest, not reported") {
  Refill refill = full(2);
  refill.lost_one(1);
  CHECK(refill.failed(FaultKind::refused, 1, false, kNow, 0) == Verdict::later);
  CHECK(*refill.due(1) == kNow + BackoffSettings{}.base);
  CHECK(refill.failed(FaultKind::too_many_connections, 1, false, kNow, 0) == Verdict::later);
  CHECK(refill.too_many());
  CHECK(*refill.due(1) >= kNow + seconds(8));  // only a person can mend it
}

TEST_CASE("refill: what is taken by calls that hang is not filled up, also after the pool was opened anew") {
  Refill refill = full(8);
  refill.take(2);
  CHECK(refill.missing(6) == 0);
  CHECK(refill.missing(5) == 1);
  CHECK(refill.step(6, kNow, 0));  // as full as it can be
  refill.open();
  refill.joined(0);
  for (int live = 1; live < 6; ++live)
    refill.step(live, kNow, 0);
  CHECK(refill.missing(6) == 0);
  refill.take(0);
  CHECK(refill.missing(6) > 0);
}
