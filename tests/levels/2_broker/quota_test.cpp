#include "levels/2_broker/quota.hpp"

#include <algorithm>

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace std::chrono_literals;
using kafka::Quota;

namespace {

// A broker that grants `rate` bytes a second on average over `window`, as Kafka's does: what is too much is taken, and
// answered with the time it will not read.
struct Broker {
  double rate;
  std::chrono::duration<double> window = 10s;
  double debt = 0;  // bytes beyond the rate; negative: not used lately
  TimePoint at{};

  Duration take(std::size_t bytes, TimePoint now) {
    const std::chrono::duration<double> passed = now - at;
    at = now;
    debt = std::max(debt - rate * passed.count(), -rate * window.count()) + static_cast<double>(bytes);
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::max(0.0, debt / rate)));
  }
};

}  // namespace

TEST_CASE("quota: without one nothing is bounded, waited for or said") {
  Quota quota;
  TimePoint now{1h};
  for (int i = 0; i < 100; ++i, now += 10ms)
    quota.wave(1'000'000, 5s, now);  // slow, but nobody spoke of a quota
  CHECK(quota.most_bytes() == Quota::kNoBound);
  CHECK(quota.until() < now);
  CHECK_FALSE(quota.deaf(now));
  CHECK_FALSE(quota.said(now));
}

TEST_CASE("quota: waves shrink to what is granted, come home in time, and use what is granted") {
  const double rate = GENERATE(2'000.0, 30'000.0, 1'000'000.0, 20'000'000.0);
  Quota quota;
  Broker broker{rate};
  TimePoint now{1h}, begun = now;
  broker.at = now;
  Duration longest{};
  double sent = 0;
  bool settled = false;  // the first wave knows of no quota
  while (now - begun < 1500s) {
    const std::size_t bytes = std::min<std::size_t>(1'000'000, quota.most_bytes());
    const Duration wait = broker.take(bytes, now);
    if (wait > Duration::zero()) quota.held_back(1, wait, now + 2ms);
    quota.wave(bytes, 2ms, now + 2ms);
    sent += static_cast<double>(bytes);
    now = std::max(now + 2ms, quota.until());
    if (settled) longest = std::max(longest, wait);
    settled = settled || now - begun > 60s;
  }
  CHECK(longest <= 1s);
  const std::chrono::duration<double> took = now - begun;
  CHECK(sent >= rate * took.count() * 0.9);
  CHECK(quota.said(now));
}

TEST_CASE("quota: while it lasts the broker is deaf, and a little longer; a new connection is heard at once") {
  Quota quota;
  TimePoint now{1h};
  quota.held_back(1, 4s, now);
  quota.held_back(2, 1s, now);
  CHECK(quota.until() == now + 4s);
  CHECK(quota.deaf(now + 4s));
  CHECK_FALSE(quota.deaf(now + 4s + Quota::kAnswer));
  quota.connection_lost(1);
  CHECK(quota.until() == now + 4s);  // we still do not send sooner than we were told
  CHECK(quota.deaf(now + 1s));
  CHECK_FALSE(quota.deaf(now + 1s + Quota::kAnswer));
  quota.held_back(2, Duration::zero(), now + 1s);
  CHECK_FALSE(quota.deaf(now + 1s));
}

TEST_CASE("quota: one short wait is not worth a word; a long one, or many, are; it ends by itself") {
  Quota quota;
  TimePoint now{1h};
  quota.held_back(3, 200ms, now);
  CHECK_FALSE(quota.said(now));
  quota.held_back(3, 200ms, now + 4s);
  auto said = quota.said(now + 4s);
  REQUIRE(said);
  CHECK(said->node == 3);
  CHECK(said->longest == 200ms);
  CHECK_FALSE(quota.said(now + 4s + 200ms + Quota::kEnds + 1ms));

  Quota another;
  another.held_back(1, 5s, now);
  CHECK(another.said(now));
  another.wave(100'000, 10ms, now);
  CHECK(another.most_bytes() < 100'000);
  another.wave(1000, 10ms, now + 5s + Quota::kEnds + 1s);
  CHECK(another.most_bytes() == Quota::kNoBound);
}

TEST_CASE("quota: the least wave is one that can still be sent, and the brokers of a cluster are bounded") {
  Quota quota;
  TimePoint now{1h};
  for (int i = 0; i < 50; ++i) {
    quota.held_back(1, 1h, now);
    quota.wave(quota.most_bytes() == Quota::kNoBound ? 1'000'000 : quota.most_bytes(), 1s, now);
  }
  CHECK(quota.most_bytes() == Quota::kLeast);
  for (int node = 0; node < 100'000; ++node)
    quota.held_back(node, 1s, now);
  CHECK(quota.deaf(now));
}
