#include "levels/core/flapping.hpp"

#include <rapidcheck.h>

#include <vector>

#include "levels/core/backoff.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Verdict = LevelAlarm::Verdict;

namespace {
constexpr TimePoint kBorn{};
}

TEST_CASE("flapping: the third fall within five minutes is told, and five minutes without one end it") {
  Flapping flapping;
  flapping.fell(kBorn);
  CHECK(flapping.look(kBorn) == Verdict::keep);
  CHECK_FALSE(flapping.next_look());
  flapping.fell(kBorn + seconds(149));
  CHECK(flapping.look(kBorn + seconds(149)) == Verdict::keep);
  flapping.fell(kBorn + seconds(299));
  CHECK(flapping.falls(kBorn + seconds(299)) == 3);
  CHECK(flapping.look(kBorn + seconds(299)) == Verdict::raise);
  CHECK(flapping.look(kBorn + seconds(299)) == Verdict::keep);
  CHECK(*flapping.next_look() == kBorn + seconds(599));
  CHECK(flapping.look(kBorn + seconds(598)) == Verdict::keep);
  CHECK(flapping.look(kBorn + seconds(599)) == Verdict::clear);
  CHECK_FALSE(flapping.next_look());
}

TEST_CASE("flapping: three falls in more than five minutes are none") {
  Flapping flapping;
  for (int i = 0; i < 100; ++i) {
    const TimePoint now = kBorn + i * seconds(150);
    flapping.fell(now);
    CHECK(flapping.falls(now) <= 2);
    CHECK(flapping.look(now) == Verdict::keep);
  }
}

TEST_CASE("flapping: agrees with a list of all falls") {
  CHECK(rc::check([] {
    Flapping flapping;
    std::vector<TimePoint> all;
    bool alarmed = false;
    TimePoint now = kBorn;
    for (const int step : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 200'000))) {
      now += milliseconds(step);
      if (*rc::gen::arbitrary<bool>()) {
        flapping.fell(now);
        all.push_back(now);
      }
      int recent = 0;
      for (const TimePoint at : all)
        if (now - at < Flapping::kWindow) ++recent;
      RC_ASSERT(flapping.falls(now) == std::min(recent, Flapping::kMost));
      const Verdict verdict = flapping.look(now);
      RC_ASSERT((verdict == Verdict::raise) == (!alarmed && recent >= Flapping::kMany));
      RC_ASSERT((verdict == Verdict::clear) == (alarmed && recent == 0));
      if (verdict != Verdict::keep) alarmed = verdict == Verdict::raise;
      RC_ASSERT(flapping.next_look().has_value() == alarmed);
      if (alarmed) RC_ASSERT(*flapping.next_look() == all.back() + Flapping::kWindow);
    }
  }));
}

TEST_CASE("flapping: the first two falls rest as ever, each further one longer, and a flapper does not forget") {
  CHECK(rc::check([] {
    const BackoffSettings settings;
    Backoff backoff;
    Flapping flapping;
    const auto held = milliseconds(*rc::gen::inRange(10'000, 30'000));  // longer than settle
    TimePoint now = kBorn;
    Duration least{};
    for (int fall = 1; fall <= 8; ++fall) {
      now += held;
      flapping.fell(now);
      backoff.fell(held, flapping.falls(now));
      const Duration rest = backoff.next(*rc::gen::inRange(0, 1000) / 1000.0);
      RC_ASSERT(rest <= settings.cap);
      if (fall <= 2) RC_ASSERT(rest <= settings.early);
      if (fall >= Flapping::kMany) {
        const Duration grown = std::min(settings.cap - settings.cap / 5, settings.base * (1 << (fall - 2)));
        RC_ASSERT(rest >= grown);
        RC_ASSERT(grown >= least);
        least = grown;
      }
      now += rest;
    }
    RC_ASSERT(least == settings.cap - settings.cap / 5);
    now += Flapping::kWindow;  // held for so long: a fault now is a first one
    flapping.fell(now);
    backoff.fell(Flapping::kWindow, flapping.falls(now));
    RC_ASSERT(backoff.next(0.999) <= settings.early);
  }));
}
