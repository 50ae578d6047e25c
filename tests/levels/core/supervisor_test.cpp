#include "levels/core/supervisor.hpp"

#include <rapidcheck.h>

#include <algorithm>

#include "tests/levels/core/otp_model.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::supervisor;
using std::chrono::milliseconds;
using std::chrono::seconds;
using tests::Death;
using tests::Script;
using tests::Spec;
using tests::SupervisorStep;

namespace {

constexpr TimePoint kNow{std::chrono::hours(1)};
using Actions = std::vector<Action>;

// ---- random worlds -------------------------------------------------------------------------------------------------

Restart any_restart() { return *rc::gen::element(Restart::permanent, Restart::transient, Restart::temporary); }

Spec any_worker(int id) {
  Spec worker;
  worker.id = id;
  worker.restart = any_restart();
  const int scripted = *rc::gen::inRange(0, 6);
  for (int i = 0; i < scripted; ++i)
    worker.starts.push_back(i == 0 ? *rc::gen::inRange(0, 40) > 0 : *rc::gen::inRange(0, 3) > 0);
  return worker;
}

Spec any_supervisor(int& ids, int depth) {
  Spec spec;
  spec.id = ids++;
  spec.is_supervisor = true;
  spec.restart = any_restart();
  spec.strategy = *rc::gen::element(Strategy::one_for_one, Strategy::rest_for_one, Strategy::one_for_all);
  spec.intensity = *rc::gen::inRange<std::size_t>(0, 5);
  spec.period_s = *rc::gen::inRange(1, 4);
  const int children = *rc::gen::inRange(*rc::gen::element(0, 2, 2), 6);
  for (int i = 0; i < children; ++i)
    spec.children.push_back(depth > 0 && *rc::gen::inRange(0, 3) == 0 ? any_supervisor(ids, depth - 1)
                                                                      : any_worker(ids++));
  return spec;
}

std::vector<Death> any_deaths(int ids, int most, int longest_after) {
  std::vector<Death> deaths;
  const int count = *rc::gen::inRange(*rc::gen::element(0, most / 2), most);
  for (int i = 0; i < count; ++i)
    deaths.push_back({*rc::gen::inRange(0, ids),
                      *rc::gen::element(Reason::crash, Reason::crash, Reason::normal, Reason::shutdown),
                      *rc::gen::inRange(0, longest_after)});
  return deaths;
}

// A tree in which one dies after the other, or one supervisor whose children die while it is at work.
rc::Gen<Script> any_script() {
  return rc::gen::exec([] {
    Script script;
    int ids = 0;
    const bool tree = *rc::gen::arbitrary<bool>();
    script.root = any_supervisor(ids, tree ? 2 : 0);
    script.operation_ms = *rc::gen::element(0, 0, 10, 400, 1000);
    script.one_by_one = any_deaths(ids, 30, *rc::gen::element(1, 700, 2500));
    if (!tree) script.meanwhile = any_deaths(ids, 20, 40);
    return script;
  });
}

std::string to_text(const std::vector<std::string>& trace) {
  std::string out;
  for (const std::string& line : trace)
    out += line + "; ";
  return out;
}

// How many of so many scripts show a difference to OTP.
int differences(const SupervisorStep& step, std::uint64_t scripts = 3000) {
  const auto gen = any_script();
  int found = 0;
  for (std::uint64_t seed = 0; seed < scripts; ++seed) {
    const Script script = gen(rc::Random(seed), 50).value();
    if (tests::played_by(step, script) != tests::played_by_otp(script)) ++found;
  }
  return found;
}

// ---- single sentences ----------------------------------------------------------------------------------------------

Plan three(Strategy strategy, std::size_t intensity = 1) {
  return {strategy, intensity, seconds(5), std::vector<ChildPlan>(3)};
}

// All up, each in its first life.
State serving(const Plan& plan) {
  State s = begin(plan, kNow).state;
  for (std::size_t i = 0; i < plan.children.size(); ++i)
    s = step(plan, s, Started{i, 1}, kNow).state;
  return s;
}

}  // namespace

TEST_CASE("supervisor: does to its children what OTP's does, whatever happens") {
  double most_notices = 0;
  std::size_t longest = 0;
  CHECK(rc::check([&] {
    const Script script = *any_script();
    double notices = 0;
    const auto ours = tests::played_by(step, script, &notices);
    const auto otp = tests::played_by_otp(script);
    most_notices = std::max(most_notices, notices);
    longest = std::max(longest, otp.size());
    if (ours != otp) RC_FAIL("ours: " + to_text(ours) + "\notp:  " + to_text(otp));
  }));
  CHECK(differences(step, 20'000) == 0);
  CHECK(longest > 30);
  CHECK(most_notices <= 2);
}

TEST_CASE("supervisor model: sees an intensity that is one too many or one too few") {
  CHECK(differences([](Plan plan, State s, const Event& event, TimePoint now) {
          ++plan.intensity;
          return step(plan, std::move(s), event, now);
        }) > 0);
  CHECK(differences([](Plan plan, State s, const Event& event, TimePoint now) {
          if (plan.intensity > 0) --plan.intensity;
          return step(plan, std::move(s), event, now);
        }) > 0);
}

TEST_CASE("supervisor model: sees a period whose far end does not count") {
  CHECK(differences([](Plan plan, State s, const Event& event, TimePoint now) {
          plan.period -= seconds(1);
          return step(plan, std::move(s), event, now);
        }) > 0);
}

TEST_CASE("supervisor model: sees restarts that are counted finer than by the second") {
  CHECK(differences([](const Plan& plan, State s, const Event& event, TimePoint now) {
          return step(plan, std::move(s), event, now + milliseconds(500));
        }) > 0);
}

TEST_CASE("supervisor model: sees a failed start that is not counted") {
  CHECK(differences([](const Plan& plan, State s, const Event& event, TimePoint now) {
          if (std::holds_alternative<StartFailed>(event) && !s.restarts.empty()) s.restarts.erase(s.restarts.begin());
          return step(plan, std::move(s), event, now);
        }) > 0);
}

TEST_CASE("supervisor model: sees a strategy that stops too little") {
  CHECK(differences([](Plan plan, State s, const Event& event, TimePoint now) {
          if (plan.strategy == Strategy::one_for_all) plan.strategy = Strategy::rest_for_one;
          return step(plan, std::move(s), event, now);
        }) > 0);
  CHECK(differences([](Plan plan, State s, const Event& event, TimePoint now) {
          if (plan.strategy == Strategy::rest_for_one) plan.strategy = Strategy::one_for_one;
          return step(plan, std::move(s), event, now);
        }) > 0);
}

TEST_CASE("supervisor model: sees a temporary child that comes back, and a transient one that does so for nothing") {
  const auto with = [](Restart from, Restart to) {
    return [from, to](Plan plan, State s, const Event& event, TimePoint now) {
      for (ChildPlan& child : plan.children)
        if (child.restart == from) child.restart = to;
      return step(plan, std::move(s), event, now);
    };
  };
  CHECK(differences(with(Restart::temporary, Restart::transient)) > 0);
  CHECK(differences(with(Restart::transient, Restart::permanent)) > 0);
}

TEST_CASE("supervisor model: sees an end that is forgotten because it came in the middle of work") {
  CHECK(differences([](const Plan& plan, State s, const Event& event, TimePoint now) {
          if (std::holds_alternative<Died>(event) && s.course != State::Course::idle) return Next{s, {}};
          return step(plan, std::move(s), event, now);
        }) > 0);
}

TEST_CASE("supervisor: starts in order, one at a time, and is ready when all are up") {
  const Plan plan = three(Strategy::one_for_one);
  Next next = begin(plan, kNow);
  CHECK(next.actions == Actions{Start{0, 1, kNow + seconds(5)}});
  next = step(plan, next.state, Started{0, 1}, kNow);
  CHECK(next.actions == Actions{Start{1, 1, kNow + seconds(5)}});
  next = step(plan, next.state, Started{1, 1}, kNow);
  next = step(plan, next.state, Started{2, 1}, kNow);
  CHECK(next.actions == Actions{Ready{}});
  CHECK_FALSE(wake_at(next.state));
}

TEST_CASE("supervisor: without children it is ready at once, and over at once") {
  const Plan plan;
  const Next next = begin(plan, kNow);
  CHECK(next.actions == Actions{Ready{}});
  CHECK(step(plan, next.state, End{}, kNow).actions == Actions{Over{Outcome::ended}});
}

TEST_CASE("supervisor: a first start that fails ends it at once, the last one up first") {
  const Plan plan = three(Strategy::one_for_one, 100);
  State s = begin(plan, kNow).state;
  s = step(plan, s, Started{0, 1}, kNow).state;
  s = step(plan, s, Started{1, 1}, kNow).state;
  Next next = step(plan, s, StartFailed{2, 1}, kNow);
  CHECK(next.actions == Actions{Stop{1, 1, kNow + seconds(5)}});
  next = step(plan, next.state, Stopped{1, 1}, kNow);
  next = step(plan, next.state, Stopped{0, 1}, kNow);
  CHECK(next.actions == Actions{Over{Outcome::start_failed}});
}

TEST_CASE("supervisor: the restart that is one too many makes it give up; a second later than the period it does not") {
  const Plan plan = three(Strategy::one_for_one, 1);
  State s = step(plan, serving(plan), Died{1, 1, Reason::crash}, kNow).state;
  s = step(plan, s, Started{1, 2}, kNow).state;
  CHECK(step(plan, s, Died{1, 2, Reason::crash}, kNow + milliseconds(5999)).actions ==
        Actions{Stop{2, 1, kNow + milliseconds(10'999)}});
  CHECK(step(plan, s, Died{1, 2, Reason::crash}, kNow + milliseconds(6000)).actions ==
        Actions{Start{1, 3, kNow + milliseconds(11'000)}});
}

TEST_CASE("supervisor: what gave up stops the rest in reverse and says so once") {
  const Plan plan = three(Strategy::one_for_one, 0);
  Next next = step(plan, serving(plan), Died{1, 1, Reason::crash}, kNow);
  CHECK(next.actions == Actions{Stop{2, 1, kNow + seconds(5)}});
  next = step(plan, next.state, Died{0, 1, Reason::crash}, kNow);
  CHECK(next.actions.empty());
  next = step(plan, next.state, Stopped{2, 1}, kNow);
  CHECK(next.actions == Actions{Over{Outcome::gave_up}});
  CHECK(step(plan, next.state, End{}, kNow).actions.empty());
}

TEST_CASE("supervisor: what overruns its deadline is hurried once, then waited for") {
  const Plan plan = three(Strategy::one_for_all, 1);
  Next next = step(plan, serving(plan), Died{2, 1, Reason::crash}, kNow);
  REQUIRE(next.actions == Actions{Stop{1, 1, kNow + seconds(5)}});
  CHECK(wake_at(next.state) == kNow + seconds(5));
  CHECK(step(plan, next.state, Wake{}, kNow + milliseconds(4999)).actions.empty());
  next = step(plan, next.state, Wake{}, kNow + seconds(5));
  CHECK(next.actions == Actions{Hurry{1, 1}});
  CHECK_FALSE(wake_at(next.state));
  CHECK(step(plan, next.state, Wake{}, kNow + seconds(9)).actions.empty());
  CHECK(step(plan, next.state, Stopped{1, 1}, kNow + seconds(9)).actions == Actions{Stop{0, 1, kNow + seconds(14)}});
}

TEST_CASE("supervisor: an end hurries the start under way and starts nothing more") {
  const Plan plan = three(Strategy::one_for_one);
  State s = begin(plan, kNow).state;
  s = step(plan, s, Started{0, 1}, kNow).state;
  Next next = step(plan, s, End{}, kNow);
  CHECK(next.actions == Actions{Hurry{1, 1}});
  SECTION("which succeeds") {
    next = step(plan, next.state, Started{1, 1}, kNow);
    CHECK(next.actions == Actions{Stop{1, 1, kNow + seconds(5)}});
    next = step(plan, next.state, Stopped{1, 1}, kNow);
  }
  SECTION("which fails") { next = step(plan, next.state, StartFailed{1, 1}, kNow); }
  CHECK(next.actions == Actions{Stop{0, 1, kNow + seconds(5)}});
  CHECK(step(plan, next.state, Stopped{0, 1}, kNow).actions == Actions{Over{Outcome::ended}});
}

TEST_CASE("supervisor: a late report of an earlier life changes nothing") {
  const Plan plan = three(Strategy::one_for_one, 3);
  State s = step(plan, serving(plan), Died{0, 1, Reason::crash}, kNow).state;
  s = step(plan, s, Started{0, 2}, kNow).state;
  const Next next = step(plan, s, Died{0, 1, Reason::crash}, kNow);
  CHECK(next.state == s);
  CHECK(next.actions.empty());
}
