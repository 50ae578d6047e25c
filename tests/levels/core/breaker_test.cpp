#include "levels/core/breaker.hpp"

#include <rapidcheck.h>

#include <algorithm>
#include <vector>

#include "tests/support/catch.hpp"

using namespace ratchet;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Call = Breaker::Call;
using Change = Breaker::Change;
using State = Breaker::State;

namespace {

constexpr TimePoint kNow{std::chrono::hours(1)};

// Opened by as many bad calls as it takes.
Breaker opened(const BreakerSettings& settings, TimePoint now = kNow, double chance = 0) {
  Breaker breaker(settings);
  for (std::size_t i = 0; i < settings.most_bad; ++i)
    breaker.failed(now, chance);
  return breaker;
}

// The same rules with a list of everything that happened since it last closed.
class Listed {
 public:
  explicit Listed(const BreakerSettings& settings) : settings_(settings), length_(settings.open) {}

  // 0: may not pass. Else the period in which it passed, to be given to done().
  std::size_t ask(TimePoint now) {
    let_time_pass(now);
    if (!is_open_) return period_;
    if (lease_end_ != kNever || now < open_end_) return 0;
    lease_end_ = now + settings_.lease;
    return ++period_;
  }

  Change done(std::size_t period, Call call, Duration took, TimePoint now) {
    let_time_pass(now);
    const bool bad = call == Call::bad || (call == Call::good && took > settings_.slow);
    if (period != period_) return Change::none;
    if (lease_end_ != kNever) return probed(bad, call, now);
    if (call == Call::nothing) return Change::none;
    calls_.push_back({second(now), bad});
    if (!bad || !opens(second(now))) return Change::none;
    open_from(now);
    return Change::opened;
  }

 private:
  static constexpr TimePoint kNever = TimePoint::max();
  struct Made {
    std::int64_t second;  // a tenth of the window
    bool bad;
  };

  static std::int64_t second(TimePoint t) { return std::chrono::floor<seconds>(t.time_since_epoch()).count(); }

  Change probed(bool bad, Call call, TimePoint now) {
    if (bad) {
      open_from(now);
      return Change::opened;
    }
    lease_end_ = kNever;
    ++period_;
    open_end_ = now;
    if (call == Call::nothing) return Change::none;
    is_open_ = false;
    calls_.clear();
    closed_at_ = now;
    return Change::closed;
  }

  bool opens(std::int64_t now) const {
    const auto counts = [now](const Made& made) { return made.second > now - 10; };
    const auto all = std::count_if(calls_.begin(), calls_.end(), counts);
    const auto bad = std::count_if(calls_.begin(), calls_.end(), [&](const Made& m) { return counts(m) && m.bad; });
    return static_cast<std::size_t>(bad) >= settings_.most_bad &&
           static_cast<double>(bad) >= settings_.bad_share * static_cast<double>(all);
  }

  void open_from(TimePoint at) {
    is_open_ = true;
    open_end_ = at + length_;
    length_ = std::min(settings_.cap, length_ * 2);
    lease_end_ = closed_at_ = kNever;
    ++period_;
  }

  void let_time_pass(TimePoint now) {
    if (now >= lease_end_) open_from(lease_end_);
    if (closed_at_ == kNever || now - closed_at_ < settings_.window) return;
    length_ = settings_.open;
    closed_at_ = kNever;
  }

  const BreakerSettings settings_;
  bool is_open_ = false;
  std::size_t period_ = 1;
  Duration length_;
  TimePoint open_end_{}, lease_end_ = kNever, closed_at_ = kNever;
  std::vector<Made> calls_;
};

}  // namespace

TEST_CASE("breaker: opens at the fifth bad call in ten seconds, not at the fourth, not in eleven") {
  Breaker breaker;
  for (int i = 0; i < 4; ++i)
    CHECK(breaker.failed(kNow, 0) == Change::none);
  SECTION("in time") {
    CHECK(breaker.failed(kNow + milliseconds(8900), 0) == Change::opened);
    CHECK_FALSE(breaker.ask(kNow + milliseconds(8900), 0));
  }
  SECTION("too late") {
    CHECK(breaker.failed(kNow + seconds(10), 0) == Change::none);
    CHECK(breaker.ask(kNow + seconds(10), 0));
  }
}

TEST_CASE("breaker: many good calls outweigh the bad ones, unless the number alone counts") {
  for (const double share : {0.5, 0.0}) {
    BreakerSettings settings;
    settings.bad_share = share;
    Breaker breaker(settings);
    for (int i = 0; i < 100; ++i)
      CHECK(breaker.done(*breaker.ask(kNow, 0), Call::good, {}, kNow, 0) == Change::none);
    for (int i = 0; i < 5; ++i)
      breaker.done(*breaker.ask(kNow, 0), Call::bad, {}, kNow, 0);
    CHECK(breaker.state() == (share > 0 ? State::closed : State::open));
  }
}

TEST_CASE("breaker: slow calls are bad calls") {
  BreakerSettings settings;
  settings.slow = seconds(1);
  Breaker breaker(settings);
  for (int i = 0; i < 5; ++i)
    breaker.done(*breaker.ask(kNow, 0), Call::good, seconds(1), kNow, 0);
  CHECK(breaker.state() == State::closed);
  for (int i = 0; i < 5; ++i)
    breaker.done({1}, Call::good, milliseconds(1001), kNow, 0);
  CHECK(breaker.state() == State::open);
}

TEST_CASE("breaker: when its time is over one call passes, and its outcome decides") {
  Breaker breaker = opened({});
  CHECK(breaker.closed_until() == kNow + seconds(5));
  CHECK_FALSE(breaker.ask(kNow + milliseconds(4999), 0));
  const auto probe = breaker.ask(kNow + seconds(5), 0);
  REQUIRE(probe);
  CHECK_FALSE(breaker.ask(kNow + seconds(5), 0));
  SECTION("good: closed, with nothing remembered") {
    CHECK(breaker.done(*probe, Call::good, {}, kNow + seconds(6), 0) == Change::closed);
    CHECK(breaker.ask(kNow + seconds(6), 0));
    CHECK(breaker.failed(kNow + seconds(6), 0) == Change::none);
  }
  SECTION("bad: open for twice as long") {
    CHECK(breaker.done(*probe, Call::bad, {}, kNow + seconds(6), 0) == Change::opened);
    CHECK(breaker.closed_until() == kNow + seconds(16));
  }
  SECTION("nothing: the next call is the probe") {
    CHECK(breaker.done(*probe, Call::nothing, {}, kNow + seconds(6), 0) == Change::none);
    CHECK(breaker.ask(kNow + seconds(6), 0));
    CHECK_FALSE(breaker.ask(kNow + seconds(6), 0));
  }
  SECTION("never said: a failure at the end of the lease, and late words do not count") {
    CHECK_FALSE(breaker.ask(kNow + seconds(15), 0));
    CHECK(breaker.closed_until() == kNow + seconds(25));
    CHECK(breaker.done(*probe, Call::good, {}, kNow + seconds(16), 0) == Change::none);
    CHECK(breaker.state() == State::open);
    CHECK(breaker.ask(kNow + seconds(25), 0));
  }
}

TEST_CASE("breaker: a lease that nobody looked at for long does not cost that time again") {
  Breaker breaker = opened({});
  REQUIRE(breaker.ask(kNow + seconds(5), 0));
  CHECK(breaker.ask(kNow + seconds(100), 0));
}

TEST_CASE("breaker: the outcome of a call from before it opened is no probe's") {
  Breaker breaker;
  const auto early = *breaker.ask(kNow, 0);
  for (int i = 0; i < 5; ++i)
    breaker.failed(kNow, 0);
  const auto probe = *breaker.ask(kNow + seconds(5), 0);
  CHECK(breaker.done(early, Call::good, {}, kNow + seconds(5), 0) == Change::none);
  CHECK(breaker.failed(kNow + seconds(5), 0) == Change::none);
  CHECK(breaker.state() == State::probing);
  CHECK(breaker.done(probe, Call::good, {}, kNow + seconds(5), 0) == Change::closed);
  CHECK(breaker.done(early, Call::bad, {}, kNow + seconds(5), 0) == Change::none);
}

TEST_CASE("breaker: the time open doubles up to its cap and is as at first only after a whole window closed") {
  BreakerSettings settings;
  Breaker breaker = opened(settings);
  TimePoint now = kNow;
  unsigned openings = 0;
  for (const int length : {5, 10, 20, 40, 60, 60}) {
    CHECK(breaker.closed_until() == now + seconds(length));
    CHECK(breaker.openings() == ++openings);
    now = breaker.closed_until();
    const auto probe = breaker.ask(now, 0);
    REQUIRE(probe);
    breaker.done(*probe, Call::bad, {}, now, 0);
  }
  for (const bool settled : {false, true}) {
    now = breaker.closed_until();
    breaker.done(*breaker.ask(now, 0), Call::good, {}, now, 0);
    CHECK(breaker.openings() == 0);
    now += settled ? settings.window : settings.window - milliseconds(1);
    for (int i = 0; i < 5; ++i)
      breaker.failed(now, 0);
    CHECK(breaker.closed_until() == now + (settled ? settings.open : settings.cap));
    CHECK(breaker.openings() == (settled ? 1 : 8));
  }
}

TEST_CASE("breaker: instances that opened together do not probe together") {
  CHECK(opened({}, kNow, 0).closed_until() == kNow + seconds(5));
  CHECK(opened({}, kNow, 0.5).closed_until() == kNow + milliseconds(4500));
  CHECK(opened({}, kNow, 0.999).closed_until() > kNow + seconds(4));
}

TEST_CASE("breaker: lets through and opens as a list of all calls says, and never has two probes at once") {
  std::size_t openings = 0, probes = 0, closings = 0;
  CHECK(rc::check([&] {
    BreakerSettings settings;
    settings.most_bad = *rc::gen::inRange<std::size_t>(1, 6);
    settings.bad_share = *rc::gen::element(0.0, 0.3, 0.5, 1.0);
    settings.slow = seconds(1);
    Breaker breaker(settings);
    Listed listed(settings);
    std::vector<std::pair<Breaker::Pass, std::size_t>> under_way;
    TimePoint now = kNow;
    const int steps = *rc::gen::inRange(0, 300);
    for (int i = 0; i < steps; ++i) {
      now += milliseconds(*rc::gen::element(0, 1, 100, 1000, 1500, 7000));
      if (*rc::gen::inRange(0, 3) > 0) {
        const auto pass = breaker.ask(now, 0);
        const std::size_t period = listed.ask(now);
        RC_ASSERT(pass.has_value() == (period > 0));
        if (pass) under_way.emplace_back(*pass, period);
        if (pass && breaker.state() == State::probing) ++probes;
      } else if (!under_way.empty()) {
        const auto index = *rc::gen::inRange<std::size_t>(0, under_way.size());
        const auto [pass, period] = under_way[index];
        under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(index));
        const auto call = *rc::gen::element(Call::good, Call::bad, Call::bad, Call::nothing);
        const auto took = milliseconds(*rc::gen::element(0, 1000, 1001));
        const Change change = breaker.done(pass, call, took, now, 0);
        RC_ASSERT(change == listed.done(period, call, took, now));
        if (change == Change::opened) ++openings;
        if (change == Change::closed) ++closings;
      }
    }
  }));
  CHECK(openings > 50);
  CHECK(probes > 50);
  CHECK(closings > 20);
}
