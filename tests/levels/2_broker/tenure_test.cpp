#include "levels/2_broker/tenure.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::kafka;
using std::chrono::seconds;
using Sequel = Tenure::Sequel;

namespace {

constexpr int kTooLarge = 10, kNotLeader = 6, kFatal = -150, kUnknownTopic = 3;
const TimePoint kNow{std::chrono::hours(1)};

db::Page page_of(int rows) {
  db::Page page;
  for (int i = 0; i < rows; ++i)
    page.rows.push_back({10 + i, "orders", "k", "{}", "v"});
  page.after = {"2:2:", std::nullopt, -1, std::nullopt};
  return page;
}

Tenure begun() {
  Tenure tenure({seconds(10), seconds(3), std::chrono::milliseconds(100)});
  tenure.begin({7, {"1:1:", std::nullopt, -1, std::nullopt}, 0}, kNow);
  return tenure;
}

}  // namespace

TEST_CASE("tenure: the cursor moves over what is acknowledged, and no further") {
  Tenure tenure = begun();
  CHECK(tenure.settle(page_of(3), 2, std::nullopt, true) == Sequel::go_on);
  CHECK(tenure.done().last_seq == 11);
  CHECK(tenure.done().snap_from == "1:1:");
  CHECK(tenure.unsaved());
  tenure.saved(kNow);
  CHECK_FALSE(tenure.unsaved());
}

TEST_CASE("tenure: a new lease starts from the row, whatever memory says") {
  Tenure tenure = begun();
  tenure.settle(page_of(3), 3, std::nullopt, true);
  tenure.begin({8, {"1:1:", std::nullopt, -1, std::nullopt}, 0}, kNow);
  CHECK(tenure.done().snap_from == "1:1:");
  CHECK(tenure.epoch() == 8);
}

TEST_CASE("tenure: produces nothing in the last fifth of its lease") {
  Tenure tenure = begun();
  CHECK(tenure.may_produce(kNow + seconds(8)));
  CHECK_FALSE(tenure.may_produce(kNow + seconds(8) + Duration(1)));
  tenure.renewed(kNow + seconds(3));
  CHECK(tenure.may_produce(kNow + seconds(11)));
}

TEST_CASE("tenure: a refused record is buried only when it was alone") {
  Tenure tenure = begun();
  const auto refused = [](std::size_t index) { return Window::Failure{index, kTooLarge, "too large"}; };
  CHECK(tenure.settle(page_of(3), 1, refused(1), true) == Sequel::one_by_one);
  CHECK(tenure.careful());
  auto alone = page_of(2);
  alone.rows.erase(alone.rows.begin());
  CHECK(tenure.settle(alone, 0, refused(0), true) == Sequel::bury);
  tenure.buried(alone.after, alone.rows.front().seq, kNow);
  CHECK_FALSE(tenure.careful());
  CHECK(tenure.done().snap_from == "2:2:");
  CHECK_FALSE(tenure.unsaved());
}

TEST_CASE("tenure: a record that was never sent is buried in mid-page, but only with everything before it home") {
  Tenure tenure = begun();
  const Window::Failure unsent{1, 5, "no leader", true};
  CHECK(tenure.settle(page_of(3), 0, unsent, false) != Sequel::bury);
  CHECK(tenure.done().snap_from == "1:1:");
  const db::Page page = page_of(3);
  CHECK(tenure.settle(page, 1, unsent, false) == Sequel::bury);
  const db::Cursor past = db::cursor_after(tenure.done(), page, 2);
  tenure.buried(past, page.rows[1].seq, kNow);
  CHECK(tenure.done().last_seq == 11);
  CHECK(tenure.settle(page, 3, std::nullopt, false) == Sequel::go_on);
  CHECK(tenure.done().snap_from == "2:2:");
}

TEST_CASE("tenure: what the broker says decides between again, outage and poison") {
  Tenure tenure = begun();
  CHECK(tenure.settle(page_of(1), 0, Window::Failure{0, kNotLeader, ""}, true) == Sequel::again);
  CHECK(tenure.settle(page_of(1), 0, Window::Failure{0, kFatal, ""}, true) == Sequel::outage);
  CHECK(tenure.settle(page_of(1), 0, Window::Failure{0, kUnknownTopic, ""}, true) == Sequel::outage);
  CHECK(tenure.settle(page_of(1), 0, Window::Failure{0, kUnknownTopic, ""}, false) == Sequel::bury);
  CHECK(tenure.done().snap_from == "1:1:");
}
