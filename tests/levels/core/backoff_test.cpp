#include "levels/core/backoff.hpp"

#include <rapidcheck.h>

#include "tests/support/catch.hpp"

using namespace ratchet;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

double any_chance() {
  return *rc::gen::map(rc::gen::inRange(0, 1'000'000), [](int n) { return n / 1e6; });
}

BackoffSettings any_settings() {
  const int base = *rc::gen::inRange(1, 2000);
  const int cap = *rc::gen::inRange(base, 60'000);
  return {milliseconds(base), milliseconds(cap), milliseconds(*rc::gen::inRange(1, 30'000))};
}

}  // namespace

TEST_CASE("backoff: every rest is between base and cap") {
  CHECK(rc::check([] {
    const auto settings = any_settings();
    Backoff backoff(settings);
    const int failures = *rc::gen::inRange(1, 50);
    for (int i = 0; i < failures; ++i) {
      const Duration rest = backoff.next(any_chance());
      RC_ASSERT(rest >= settings.base);
      RC_ASSERT(rest <= settings.cap);
      if (*rc::gen::arbitrary<bool>()) backoff.fell(milliseconds(*rc::gen::inRange(0, 60'000)));
    }
  }));
}

TEST_CASE("backoff: a rest is at most three times the one before") {
  CHECK(rc::check([] {
    const auto settings = any_settings();
    Backoff backoff(settings);
    Duration before = settings.base;
    for (int i = 0; i < 20; ++i) {
      const Duration rest = backoff.next(any_chance());
      RC_ASSERT(rest <= 3 * before);
      before = rest;
    }
  }));
}

TEST_CASE("backoff: with bad luck it reaches the cap, and stays") {
  Backoff backoff;
  for (int i = 0; i < 10; ++i)
    backoff.next(0.999);
  CHECK(backoff.next(0.999) == seconds(10));
}

TEST_CASE("backoff: no rest is longer than `early` until it has rested for `early_for`") {
  CHECK(rc::check([] {
    Backoff backoff;
    const BackoffSettings settings;
    Duration rested{};
    while (rested < settings.early_for) {
      const Duration rest = backoff.next(any_chance());
      RC_ASSERT(rest <= settings.early);
      rested += rest;
    }
    Duration longest{};
    for (int i = 0; i < 3; ++i)
      longest = std::max(longest, backoff.next(0.9));
    RC_ASSERT(longest > settings.early);
    backoff.fell(settings.settle);
    RC_ASSERT(backoff.next(any_chance()) <= settings.early);
  }));
}

TEST_CASE("backoff: an instance tries at most once in a second") {
  CHECK(rc::check([] {
    Backoff backoff;
    RC_ASSERT(backoff.next(any_chance()) >= seconds(1));
    RC_ASSERT(backoff.cap(any_chance()) >= seconds(1));
  }));
}

TEST_CASE("backoff: forgets only after the level was held for settle") {
  CHECK(rc::check([] {
    const auto settings = any_settings();
    Backoff backoff(settings);
    const double chance = any_chance();
    const Duration first = Backoff(settings).next(chance);
    for (int i = 0; i < 20; ++i)
      backoff.next(0.9);
    Backoff same = backoff;
    backoff.fell(settings.settle - milliseconds(1));
    RC_ASSERT(backoff.next(chance) == Backoff(same).next(chance));
    same.fell(settings.settle);
    RC_ASSERT(same.next(chance) == first);
  }));
}

TEST_CASE("backoff: what a person must mend is tried at the cap less up to a fifth, and leaves no trace") {
  CHECK(rc::check([] {
    const auto settings = any_settings();
    Backoff backoff(settings);
    const Duration rest = backoff.cap(any_chance());
    RC_ASSERT(rest > settings.cap - settings.cap / 5 - milliseconds(1));
    RC_ASSERT(rest <= settings.cap);
    const double chance = any_chance();
    RC_ASSERT(backoff.next(chance) == Backoff(settings).next(chance));
  }));
}

TEST_CASE("backoff: what ends at once when it ends is asked for often, however long it has lasted") {
  CHECK(rc::check([] {
    Backoff backoff;
    for (int i = *rc::gen::inRange(0, 50); i > 0; --i)
      backoff.next(any_chance());
    const Duration rest = backoff.soon(any_chance());
    RC_ASSERT(rest >= BackoffSettings{}.base);
    RC_ASSERT(rest <= BackoffSettings{}.early);
  }));
}
