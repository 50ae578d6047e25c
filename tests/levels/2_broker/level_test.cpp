#include "levels/2_broker/level.hpp"

#include <atomic>

#include "tests/levels/2_broker/relay_world.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/process.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

struct LevelWorld : Instance {
  explicit LevelWorld(Servers& servers, std::vector<std::string> topics, OnLoss on_loss = OnLoss::fall)
      : Instance(servers, "one"),
        level(at(servers, on_loss), std::move(topics), milliseconds(5000), *relay, limits, around.parts()) {}
  static BrokerSettings at(Servers& servers, OnLoss on_loss) {
    BrokerSettings settings = broker_at(servers.kafka.bootstrap());
    settings.on_loss = on_loss;
    return settings;
  }

  Result<std::unique_ptr<HeldLevel>> raise(Duration within = kGenerous) {
    Patience patience(around.in(within));
    return level.raise(patience, 3);
  }
  std::optional<Fault> probe(HeldLevel& held, Duration within) {
    Patience patience(around.in(within));
    return held.probe(patience);
  }

  kafka::RecordLimits limits;
  kafka::BrokerLevel level;
};

}  // namespace

TEST_CASE("broker level: raised it publishes, drained in order it has published everything and lets go of the lease") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  servers.kafka.create_topic("small", 1, {{"max.message.bytes", "50000"}});
  Sql app(servers.postgres, "app");
  LevelWorld world(servers, {"orders", "small"});
  auto held = world.raise();
  REQUIRE(held);
  CHECK(world.limits.of("small") == 50000 - 128);
  CHECK(world.limits.of("orders") == 1048588 - 128);
  CHECK(world.limits.of("another") == 1'000'000);
  CHECK_FALSE(world.probe(**held, kGenerous));
  REQUIRE(eventually([&] { return world.relay->leads(); }));
  // Batches are no larger than the smallest limit, so none is refused that holds only small records.
  app.ask("begin");
  app.ask(
      "select count(ratchet.emit('small', 'k', convert_to('k/' || i || repeat(' ', 1000), 'UTF8'))) from "
      "generate_series(1, 1000) i");
  app.ask("commit");
  CHECK_FALSE((*held)->degraded());
  world.relay->pause(true);
  CHECK((*held)->degraded());
  world.relay->pause(false);
  REQUIRE(eventually([&] { return servers.kafka.count("small") == 1000; }));
  CHECK(world.metric("ratchet_relay_retries_total") <= 0);
  Patience patience(world.around.in(kGenerous));
  (*held)->drain(patience, Leave::asked);
  CHECK_FALSE(world.relay->leads());
  CHECK(app.ask("select unpublished_rows from ratchet.outbox_stats()") == "0");
  held->reset();
  Sql owner(servers.postgres, "postgres");
  CHECK(owner.ask("select owner is null from ratchet.relay") == "t");
  CHECK(servers.kafka.count("small") == 1000);
}

TEST_CASE("broker level: a missing topic keeps it down and says which, a broker that is away says so") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  LevelWorld world(servers, {"orders", "payments"});
  auto held = world.raise();
  REQUIRE_FALSE(held);
  CHECK(held.error().kind == FaultKind::topic_missing);
  CHECK(held.error().text == "broker: topic \"payments\" does not exist: create it");
  CHECK(held.error().incarnation == 3);
  servers.kafka.kill9();
  held = world.raise(1s);
  REQUIRE_FALSE(held);
  CHECK(held.error().kind == FaultKind::refused);
  CHECK(held.error().text == "broker: " + servers.kafka.bootstrap() + ": connection refused");
  CHECK_FALSE(world.relay->leads());
}

TEST_CASE("broker level: killed or frozen, two probes miss; it lets go within patience and can be raised again") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  Sql app(servers.postgres, "app");
  LevelWorld world(servers, {"orders"});
  auto held = world.raise();
  REQUIRE(held);
  CHECK(world.level.probe_plan().misses == 2);
  app.emit("orders", "k", "k/1");
  REQUIRE(eventually([&] { return servers.kafka.count("orders") == 1; }));
  bool killed = GENERATE(true, false);
  if (killed) {
    servers.kafka.kill9();
  } else {
    servers.kafka.freeze();
  }
  app.emit("orders", "k", "k/2");
  auto first = world.probe(**held, 1s), second = world.probe(**held, 1s);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(second->kind == (killed ? FaultKind::refused : FaultKind::timed_out));
  Patience patience(world.around.in(3s));
  (*held)->drain(patience, Leave::fault);
  held->reset();
  CHECK_FALSE(world.relay->leads());
  if (killed) {
    servers.kafka.start();
  } else {
    servers.kafka.thaw();
  }
  held = world.raise();
  REQUIRE(held);
  app.emit("orders", "k", "k/3");
  REQUIRE(eventually([&] { return app.ask("select unpublished_rows from ratchet.outbox_stats()") == "0"; }));
  auto found = arrived(servers.kafka, "orders");
  CHECK(found.values == std::set<std::string>{"k/1", "k/2", "k/3"});
  CHECK(found.inversions == 0);
}

TEST_CASE("broker level: all brokers down is told to whoever probes, at once") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  LevelWorld world(servers, {"orders"});
  auto held = world.raise();
  REQUIRE(held);
  std::atomic<int> doubts{0};
  (*held)->on_doubt([&] { ++doubts; });
  CHECK_FALSE(world.probe(**held, kGenerous));
  const int before = doubts;
  servers.kafka.kill9();
  CHECK(eventually([&] { return doubts > before; }));
  CHECK(world.around.faults.all().empty());  // nothing is proven
}

TEST_CASE("broker level: a record limit that is lowered is known after the first refusal, by the port and by waves") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  Sql app(servers.postgres, "app");
  LevelWorld world(servers, {"orders"});
  auto held = world.raise();
  REQUIRE(held);
  REQUIRE(eventually([&] { return world.relay->leads(); }));
  CHECK_FALSE(world.probe(**held, kGenerous));
  servers.kafka.set_topic_config("orders", "max.message.bytes", "10000");
  CHECK(world.limits.of("orders") == 1048588 - 128);
  app.emit("orders", "k", "k/" + std::string(20'000, 'x'));
  REQUIRE(eventually([&] {
    CHECK_FALSE(world.probe(**held, kGenerous));
    return world.limits.of("orders") == 10'000 - 128;
  }));
  REQUIRE(eventually([&] { return app.ask("select unpublished_rows from ratchet.outbox_stats()") == "0"; }));
  CHECK(app.ask("select dead_letters from ratchet.outbox_stats()") == "1");
  app.ask(
      "select count(ratchet.emit('orders', 'k', convert_to('k/' || i || repeat(' ', 1000), 'UTF8'))) from "
      "generate_series(1, 500) i");
  REQUIRE(eventually([&] { return servers.kafka.count("orders") == 500; }));
  CHECK(world.metric("ratchet_relay_retries_total") <= 0);
  CHECK(app.ask("select dead_letters from ratchet.outbox_stats()") == "1");
  CHECK(world.around.faults.all().empty());
}

TEST_CASE("broker level: a broker whose disk went back in time ends in a fatal error; a new producer carries on") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  Sql app(servers.postgres, "app");
  const auto on_loss = GENERATE(OnLoss::fall, OnLoss::ride);
  LevelWorld world(servers, {"orders"}, on_loss);
  auto held = world.raise();
  REQUIRE(held);
  auto published = [&] { return app.ask("select unpublished_rows from ratchet.outbox_stats()") == "0"; };
  auto emit = [&](int from, int to) {
    for (int i = from; i < to; ++i)
      app.emit("orders", "k", "k/" + std::to_string(i));
    REQUIRE(eventually(published));
  };
  emit(0, 50);
  servers.kafka.stop();
  run({"cp", "-a", servers.kafka.folder() + "/data", servers.kafka.folder() + "/old"});
  servers.kafka.start();
  emit(50, 100);
  servers.kafka.kill9();
  run({"rm", "-rf", servers.kafka.folder() + "/data"});
  run({"mv", servers.kafka.folder() + "/old", servers.kafka.folder() + "/data"});
  servers.kafka.start();
  // The broker has not seen 50..99 and refuses what claims to follow them.
  for (int i = 100; i < 150; ++i)
    app.emit("orders", "k", "k/" + std::to_string(i));
  if (on_loss == OnLoss::fall) {
    REQUIRE(world.around.faults.wait_for(FaultKind::broker_fatal));
    CHECK(world.around.faults.all().front().incarnation == 3);
    Patience patience(world.around.in(3s));
    (*held)->drain(patience, Leave::fault);
    held->reset();
    held = world.raise();
    REQUIRE(held);
  } else {
    REQUIRE(eventually([&] {
      CHECK_FALSE(world.probe(**held, 1s));
      return world.around.alarmed("broker.away.main");
    }));
    REQUIRE(eventually([&] {
      CHECK_FALSE(world.probe(**held, 1s));
      return !(*held)->degraded();
    }));
    CHECK(world.around.faults.all().empty());
  }
  REQUIRE(eventually(published));
  auto found = arrived(servers.kafka, "orders");
  CHECK(found.values.size() == 100);  // 0..49 and 100..149: what the disk lost, the broker lost
  CHECK(found.inversions == 0);
}
