#include "levels/2_broker/in_flight.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/manual_time.hpp"

using namespace ratchet;
using namespace std::chrono_literals;
using kafka::InFlight;

TEST_CASE("in flight: nothing has no age") {
  InFlight flight;
  tests::ManualTime time;
  CHECK(flight.count() == 0);
  CHECK_FALSE(flight.oldest(time.now()));
}

TEST_CASE("in flight: the age is the oldest one's, whatever came back before it") {
  InFlight flight;
  tests::ManualTime time;
  auto start = time.now();
  auto first = flight.begin(time.now());
  time.advance(3s);
  auto second = flight.begin(time.now());
  time.advance(2s);
  REQUIRE(flight.oldest(time.now()));
  CHECK(*flight.oldest(time.now()) <= start);
  CHECK(*flight.oldest(time.now()) > start - 101ms);
  CHECK_FALSE(flight.end(first));
  CHECK(*flight.oldest(time.now()) <= start + 3s);
  CHECK(*flight.oldest(time.now()) > start + 3s - 101ms);
  CHECK(flight.end(second));
  CHECK_FALSE(flight.oldest(time.now()));
}

TEST_CASE("in flight: slots are used again without confusing ages") {
  InFlight flight;
  tests::ManualTime time;
  for (int i = 0; i < 5000; ++i) {
    auto stamp = flight.begin(time.now());
    CHECK(time.now() - *flight.oldest(time.now()) < 100ms);
    flight.end(stamp);
    time.advance(70ms);
  }
  CHECK(flight.count() == 0);
}
