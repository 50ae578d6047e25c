#include "levels/core/alarms.hpp"

#include <rapidcheck.h>

#include <map>

#include "tests/support/catch.hpp"
#include "tests/support/manual_time.hpp"

using namespace ratchet;
using std::chrono::seconds;
using Change = Alarms::Change;
using Verdict = LevelAlarm::Verdict;

TEST_CASE("alarms: setting twice is one alarm, with the first time and the last text") {
  Alarms alarms;
  const WallTime first{seconds(100)};
  CHECK(alarms.set("a", "text", "do this", first) == Change::set);
  CHECK(alarms.set("a", "text", "do this", first + seconds(5)) == Change::none);
  CHECK(alarms.set("a", "worse", "do this", first + seconds(9)) == Change::text);
  REQUIRE(alarms.list().size() == 1);
  CHECK(alarms.list()[0].since == first);
  CHECK(alarms.list()[0].text == "worse");
}

TEST_CASE("alarms: clearing what is not set is nothing") {
  Alarms alarms;
  CHECK(alarms.clear("a") == Change::none);
  alarms.set("a", "", "", {});
  CHECK(alarms.clear("a") == Change::cleared);
  CHECK(alarms.clear("a") == Change::none);
  CHECK(alarms.list().empty());
}

TEST_CASE("alarms: any order of set and clear leaves what a map would hold, sorted") {
  CHECK(rc::check([](const std::vector<std::pair<std::uint8_t, bool>>& calls) {
    Alarms alarms;
    std::map<std::string, bool> model;
    for (auto [number, set] : calls) {
      const std::string id = "id" + std::to_string(number % 5);
      const bool was = model[id];
      if (set) RC_ASSERT(alarms.set(id, "t", "r", {}) == (was ? Change::none : Change::set));
      if (!set) RC_ASSERT(alarms.clear(id) == (was ? Change::cleared : Change::none));
      model[id] = set;
      RC_ASSERT(alarms.is_set(id) == set);
    }
    std::vector<std::string> expected, found;
    for (const auto& [id, set] : model)
      if (set) expected.push_back(id);
    for (const auto& alarm : alarms.list())
      found.push_back(alarm.id);
    RC_ASSERT(found == expected);
  }));
}

TEST_CASE("level alarm: missing for 15 s raises it, once") {
  tests::ManualTime time;
  LevelAlarm alarm(seconds(15), seconds(10));
  CHECK(alarm.look(true, false, time.now()) == Verdict::keep);
  CHECK(alarm.next_look() == time.now() + seconds(15));
  time.advance(seconds(15) - std::chrono::nanoseconds(1));
  CHECK(alarm.look(true, false, time.now()) == Verdict::keep);
  time.advance(std::chrono::nanoseconds(1));
  CHECK(alarm.look(true, false, time.now()) == Verdict::raise);
  time.advance(seconds(100));
  CHECK(alarm.look(true, false, time.now()) == Verdict::keep);
  CHECK_FALSE(alarm.next_look());
}

TEST_CASE("level alarm: a level nobody wants is not missed") {
  tests::ManualTime time;
  LevelAlarm alarm(seconds(15), seconds(10));
  for (int i = 0; i < 10; ++i) {
    CHECK(alarm.look(false, false, time.now()) == Verdict::keep);
    time.advance(seconds(15));
  }
  CHECK_FALSE(alarm.next_look());
}

TEST_CASE("level alarm: a level that flaps stays alarmed, one that is held for settle is cleared") {
  tests::ManualTime time;
  LevelAlarm alarm(seconds(15), seconds(10));
  alarm.look(true, false, time.now());
  time.advance(seconds(15));
  REQUIRE(alarm.look(true, false, time.now()) == Verdict::raise);
  for (int i = 0; i < 5; ++i) {
    CHECK(alarm.look(true, true, time.now()) == Verdict::keep);
    time.advance(seconds(9));
    CHECK(alarm.look(true, true, time.now()) == Verdict::keep);
    CHECK(alarm.look(true, false, time.now()) == Verdict::keep);
    time.advance(seconds(1));
  }
  alarm.look(true, true, time.now());
  CHECK(alarm.next_look() == time.now() + seconds(10));
  time.advance(seconds(10));
  CHECK(alarm.look(true, true, time.now()) == Verdict::clear);
  CHECK(alarm.look(true, true, time.now()) == Verdict::keep);
}
