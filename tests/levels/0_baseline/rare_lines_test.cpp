#include "levels/0_baseline/rare_lines.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using std::chrono::hours;
using std::chrono::seconds;

TEST_CASE("rare lines: each key once an hour, one line in ten seconds, what was left out is counted") {
  RareLines lines;
  TimePoint now{seconds(1000)};
  CHECK(lines.is_due("a", now));
  CHECK_FALSE(lines.is_due("a", now + seconds(60)));
  CHECK(lines.take_left_out() == 0);
  CHECK_FALSE(lines.is_due("b", now + seconds(9)));
  CHECK_FALSE(lines.is_due("c", now + seconds(9)));
  CHECK(lines.is_due("b", now + seconds(10)));
  CHECK(lines.take_left_out() == 2);
  CHECK_FALSE(lines.is_due("a", now + hours(1) - seconds(1)));
  CHECK(lines.is_due("a", now + hours(1)));
}

TEST_CASE("rare lines: however many keys, no more lines than that") {
  RareLines lines;
  TimePoint now{seconds(1000)};
  int said = 0;
  for (int i = 0; i < 10'000; ++i) {
    said += lines.is_due(std::to_string(i), now) ? 1 : 0;
    now += std::chrono::milliseconds(10);
  }
  CHECK(said == 10);
}
