#include "levels/2_broker/reaper.hpp"

#include <atomic>
#include <future>

#include "tests/levels/2_broker/around.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;

TEST_CASE("reaper: whoever hands over does not wait, and too many at once are alarmed") {
  Around around;
  std::promise<void> gate;
  auto open = gate.get_future().share();
  std::atomic<int> destroyed{0};
  REQUIRE_FALSE(around.reaper->ready());
  for (int i = 0; i < kafka::Reaper::kMost; ++i) {
    CHECK_FALSE(around.reaper->full());
    around.reaper->take([&destroyed, open] {
      open.wait();
      ++destroyed;
    });
  }
  CHECK(around.reaper->full());
  CHECK(around.alarmed("broker.reaper"));
  CHECK(destroyed == 0);

  BrokerSettings settings = broker_at("127.0.0.1:1");
  auto refused = kafka::Producer::create(settings, 1, around.parts());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().level == 2);
  CHECK(refused.error().text == "broker: 3 old producers are still being destroyed");

  gate.set_value();
  CHECK(eventually([&] { return destroyed == kafka::Reaper::kMost; }));
  CHECK(eventually([&] { return !around.alarmed("broker.reaper"); }));
  CHECK_FALSE(around.reaper->full());
  CHECK(kafka::Producer::create(settings, 2, around.parts()));
}

TEST_CASE("reaper: its end does not wait for what hangs") {
  std::promise<void> gate;
  auto open = gate.get_future().share();
  {
    Around around;
    REQUIRE_FALSE(around.reaper->ready());
    around.reaper->take([open] { open.wait(); });
  }
  gate.set_value();
  SUCCEED("the process goes on");
}
