#include "levels/3_service/registrar.hpp"

#include <rapidcheck.h>

#include <vector>

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::service;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const TimePoint kStart{seconds(1000)};
const Told kDone{};
const Told kAgain{Told::Word::again, "later"};
const Told kFailed{Told::Word::failed, "no"};

// One registration, its time, and what it has ordered.
struct Turned {
  explicit Turned(const RegistrationSettings& settings = {}) : registration(settings) {}

  void took(const Registration::Next& next) {
    cut = cut || next.cut;
    if (!next.order) return;
    ordered.push_back(next.order->verb);
    due = next.order->due;
    flying = true;
    cut = false;
  }
  void want(bool here) { took(registration.want(here, now, chance)); }
  void told(const Told& word) {
    flying = false;
    took(registration.told(word, now, chance));
  }
  // Goes to when it wants to be woken, at most `limit` away.
  bool wake(Duration limit = seconds(60)) {
    const auto at = registration.wake_at();
    if (!at || *at - now > limit) return false;
    now = std::max(now, *at);
    took(registration.tick(now, chance));
    return true;
  }

  Registration registration;
  TimePoint now = kStart, due{};
  double chance = 0.5;
  bool flying = false, cut = false;
  std::vector<Verb> ordered;
};

using Verbs = std::vector<Verb>;

}  // namespace

TEST_CASE("registrar: registers, then beats, for ever") {
  Turned t;
  t.want(true);
  CHECK(t.ordered == Verbs{Verb::register_});
  CHECK(t.due == kStart + seconds(2));
  t.told(kDone);
  CHECK(t.registration.registered());
  for (int beat = 0; beat < 3; ++beat) {
    const TimePoint before = t.now;
    REQUIRE(t.wake());
    CHECK(t.ordered.back() == Verb::heartbeat);
    CHECK(t.now - before >= seconds(9));
    CHECK(t.now - before <= seconds(10));
    t.told(kDone);
  }
}

TEST_CASE("registrar: a failed register is tried again for ever, at most 5 s apart, and its cause is told") {
  Turned t;
  t.want(true);
  for (int i = 0; i < 100; ++i) {
    const TimePoint before = t.now;
    t.told(i % 2 == 0 ? kFailed : kAgain);
    CHECK(t.registration.trouble() == (i % 2 == 0 ? "register: no" : "register: later"));
    CHECK_FALSE(t.registration.registered());
    REQUIRE(t.wake());
    CHECK(t.ordered.back() == Verb::register_);
    CHECK(t.now - before >= milliseconds(100));
    CHECK(t.now - before <= seconds(5));
  }
  t.told(kDone);
  CHECK(t.registration.registered());
  CHECK(t.registration.trouble().empty());
}

TEST_CASE("registrar: a heartbeat that fails registers again") {
  Turned t;
  t.want(true);
  t.told(kDone);
  t.wake();
  t.told(kFailed);
  CHECK_FALSE(t.registration.registered());
  t.wake();
  CHECK(t.ordered.back() == Verb::register_);
}

TEST_CASE("registrar: leaving is drain, status until it is quiet, deregister") {
  Turned t;
  t.want(true);
  t.told(kDone);
  t.ordered.clear();
  t.want(false);
  t.told(kDone);
  t.told(kAgain);
  t.wake();
  t.told(kDone);
  CHECK_FALSE(t.registration.left());
  t.told(kDone);
  CHECK(t.ordered == Verbs{Verb::drain, Verb::status, Verb::status, Verb::deregister});
  CHECK(t.registration.left());
  CHECK_FALSE(t.registration.gave_up());
  CHECK_FALSE(t.registration.wake_at());
}

TEST_CASE("registrar: a drain that fails does not keep us from deregistering") {
  RegistrationSettings settings;
  settings.has_status = false;
  Turned t(settings);
  t.want(true);
  t.told(kDone);
  t.want(false);
  t.told(kFailed);
  CHECK(t.ordered.back() == Verb::deregister);
}

TEST_CASE("registrar: a status that never says so is believed for half of the time at most") {
  Turned t;
  t.want(true);
  t.told(kDone);
  t.want(false);
  t.told(kDone);
  while (t.ordered.back() == Verb::status) {
    t.told(kAgain);
    if (!t.flying) REQUIRE(t.wake());
  }
  CHECK(t.ordered.back() == Verb::deregister);
  CHECK(t.now - kStart <= seconds(5));
}

TEST_CASE("registrar: a deregister that never succeeds is given up at its time, with its cause") {
  Turned t;
  t.want(true);
  t.told(kDone);
  t.want(false);
  t.told(kDone);
  t.told(kDone);
  int tries = 0;
  while (t.flying) {
    t.now += milliseconds(300);
    t.told(kFailed);
    ++tries;
    if (!t.flying) t.wake();
  }
  CHECK(tries >= 2);
  CHECK(t.registration.left());
  CHECK(t.registration.gave_up());
  CHECK(t.registration.trouble() == "deregister: no");
  CHECK(t.now <= kStart + seconds(10));
}

TEST_CASE("registrar: leaving breaks off a register under way and deregisters anyway, twice") {
  RegistrationSettings settings;
  settings.has_drain = settings.has_status = false;
  Turned t(settings);
  t.want(true);
  t.want(false);
  CHECK(t.cut);
  CHECK(t.ordered == Verbs{Verb::register_});
  t.told(kDone);  // it was done all the same
  CHECK_FALSE(t.registration.registered());
  CHECK(t.ordered == Verbs{Verb::register_, Verb::deregister});
  t.told(kDone);
  CHECK(t.registration.left());
  const TimePoint before = t.now;
  REQUIRE(t.wake());
  CHECK(t.now - before == seconds(1));
  CHECK(t.ordered.back() == Verb::deregister);
  t.told(kDone);
  CHECK(t.ordered.size() == 3);
  CHECK_FALSE(t.registration.wake_at());
}

TEST_CASE("registrar: coming back waits for a deregister under way, and for nothing else") {
  RegistrationSettings settings;
  settings.has_drain = settings.has_status = false;
  Turned t(settings);
  t.want(true);
  t.told(kDone);
  t.want(false);
  t.want(true);
  CHECK_FALSE(t.cut);
  CHECK(t.ordered.back() == Verb::deregister);
  t.told(kFailed);
  t.wake();
  CHECK(t.ordered.back() == Verb::register_);

  Turned draining;
  draining.want(true);
  draining.told(kDone);
  draining.want(false);
  draining.want(true);
  CHECK(draining.cut);
  draining.told(kDone);
  CHECK(draining.ordered.back() == Verb::register_);
}

TEST_CASE("registrar: who was never here has nothing to leave") {
  Turned t;
  t.want(false);
  CHECK(t.ordered.empty());
  CHECK(t.registration.left());
  CHECK_FALSE(t.registration.wake_at());
}

TEST_CASE("registrar: whatever happens, one verb at a time, none that the wish forbids, and every leaving ends") {
  const bool holds = rc::check("any order of wishes, answers and times", [] {
    RegistrationSettings settings;
    settings.has_drain = *rc::gen::arbitrary<bool>();
    settings.has_status = *rc::gen::arbitrary<bool>();
    Turned t(settings);
    bool here = false;
    TimePoint left_at = kStart;
    const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 100));
    for (const int step : steps) {
      const bool was_flying = t.flying;
      const std::size_t before = t.ordered.size();
      t.chance = step / 100.0;
      if (step < 20) {
        if (here) left_at = t.now;
        here = step < 10;
        t.want(here);
      } else if (t.flying) {
        t.now = std::min(t.due, t.now + milliseconds(step * 20));
        t.told(step < 50 ? kDone : step < 75 ? kAgain : kFailed);
      } else {
        t.wake();
      }
      RC_ASSERT(t.ordered.size() <= before + 1);
      if (t.ordered.size() > before) {
        RC_ASSERT(!was_flying || step >= 20);
        const Verb verb = t.ordered.back();
        const bool of_here = verb == Verb::register_ || verb == Verb::heartbeat;
        RC_ASSERT(of_here == here);
        RC_ASSERT(verb != Verb::drain || settings.has_drain);
        RC_ASSERT(verb != Verb::status || settings.has_status);
        RC_ASSERT(t.due > t.now);
      }
      if (here) RC_ASSERT(t.flying || t.registration.wake_at());
      if (!here && !t.flying && !t.registration.left()) RC_ASSERT(t.registration.wake_at());
    }
    // Then it is left alone, and answered badly.
    if (here) left_at = t.now;
    t.want(false);
    for (int i = 0; i < 10'000 && (t.flying || t.wake()); ++i) {
      if (!t.flying) continue;
      t.now = t.due;
      t.told(kFailed);
    }
    RC_ASSERT(t.registration.left());
    RC_ASSERT(t.now <= left_at + settings.timeout + settings.deregister + settings.timeout + seconds(1));
  });
  CHECK(holds);
}
