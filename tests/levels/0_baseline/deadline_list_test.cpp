#include "levels/0_baseline/deadline_list.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/manual_time.hpp"

using namespace ratchet;
using namespace ratchet::http;
using namespace std::chrono_literals;

TEST_CASE("deadline list: deadlines end in the order in which they started, and not before") {
  tests::ManualTime time;
  DeadlineList list(100ms);
  DeadlineHook hooks[4];
  for (std::uint32_t i = 0; i < 4; ++i)
    hooks[i].owner = i;
  CHECK(list.next() == TimePoint::max());
  for (auto& hook : hooks) {
    list.start(hook, time.now());
    time.advance(10ms);
  }
  CHECK(list.expired(time.now()) == nullptr);
  CHECK(list.next() - time.now() == 60ms);
  time.advance(60ms - 1ns);
  CHECK(list.expired(time.now()) == nullptr);
  time.advance(1ns);
  REQUIRE(list.expired(time.now()) == &hooks[0]);
  CHECK(hooks[0].list == nullptr);
  CHECK(list.expired(time.now()) == nullptr);

  DeadlineList::stop(hooks[2]);
  list.start(hooks[1], time.now());  // again: now it is the last
  time.advance(1h);
  CHECK(list.expired(time.now()) == &hooks[3]);
  CHECK(list.expired(time.now()) == &hooks[1]);
  CHECK(list.expired(time.now()) == nullptr);
  CHECK(list.next() == TimePoint::max());
}

TEST_CASE("deadline list: starting on another list ends the deadline on the first") {
  tests::ManualTime time;
  DeadlineList longer(2s), shorter(1s);
  DeadlineHook hook, other;
  longer.start(hook, time.now());
  longer.start(other, time.now());
  shorter.start(hook, time.now());
  time.advance(3s);
  CHECK(longer.expired(time.now()) == &other);
  CHECK(longer.expired(time.now()) == nullptr);
  CHECK(shorter.expired(time.now()) == &hook);
  DeadlineList::stop(hook);  // harmless
}
