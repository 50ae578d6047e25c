// The relay's outbox is looked at whatever becomes of the relay.
#include "levels/2_broker/outbox_watch.hpp"

#include "tests/levels/2_broker/relay_world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

kafka::RelayTuning soon() {
  auto tuning = quick();
  tuning.alarm = 500ms;
  tuning.blind = 1s;
  return tuning;
}

struct Watched : World {
  Watched() : World(1, soon()) {
    one.start({"orders"});
    app.emit("orders", "k", "k/1");
    if (!all_published()) throw std::runtime_error("k/1 is not published");
    if (!eventually([this] { return one.metric(kRows) == 0; })) throw std::runtime_error("not measured");
  }
  bool alarmed(const std::string& id) { return one.around.alarmed(id + ".main"); }
  std::string text(const std::string& id) {
    for (const auto& alarm : one.around.alarms.list())
      if (alarm.id == id + ".main") return alarm.text;
    return "";
  }
  static constexpr auto kRows = "ratchet_outbox_unpublished_rows";
  Sql owner{servers.postgres, "postgres"};
};

}  // namespace

TEST_CASE_METHOD(World, "outbox watch: a gauge is absent until it was measured, and again when nobody measures it") {
  const std::string all = one.around.metrics.render();
  for (const char* name : {"ratchet_outbox_unpublished_rows", "ratchet_outbox_oldest_seconds", "ratchet_dead_letters",
                           "ratchet_relay_last_publish_timestamp_seconds"}) {
    INFO(name);
    CHECK(all.find(name) == std::string::npos);
  }
  one.start({"orders"});
  CHECK(eventually([&] { return one.metric("ratchet_outbox_unpublished_rows") == 0; }));
  CHECK(one.metric("ratchet_dead_letters") == 0);
  CHECK(one.metric("ratchet_relay_last_publish_timestamp_seconds") == -1);
  app.emit("orders", "k", "k/1");
  CHECK(eventually([&] { return one.metric("ratchet_relay_last_publish_timestamp_seconds") > 0; }));
  one.stop(Leave::asked, kGenerous);
  CHECK(one.metric("ratchet_outbox_unpublished_rows") == -1);
  CHECK(one.metric("ratchet_relay_last_publish_timestamp_seconds") > 0);  // that stays true
}

TEST_CASE_METHOD(Watched, "outbox watch: what cannot be measured is alarmed, absent, and at last over its budget") {
  owner.ask("begin");
  owner.ask("lock table ratchet.dead_letter_count");
  CHECK(eventually([&] { return alarmed("outbox.unknown"); }));
  CHECK(text("outbox.unknown").find("lock timeout") != std::string::npos);
  CHECK(one.relay->trouble() == text("outbox.unknown"));
  CHECK(eventually([&] { return one.metric(kRows) == -1; }));
  CHECK(eventually([&] { return one.relay->behind(); }));
  CHECK(eventually([&] { return alarmed("outbox.behind"); }));
  CHECK_FALSE(alarmed("relay.stuck"));  // it publishes, whatever is not known
  app.emit("orders", "k", "k/2");
  CHECK(eventually([&] { return servers.kafka.count("orders") == 2; }));
  owner.ask("rollback");
  CHECK(eventually([&] { return !one.relay->behind(); }));
  CHECK(eventually([&] { return !alarmed("outbox.unknown") && !alarmed("outbox.behind"); }));
  CHECK(one.metric(kRows) == 0);
  CHECK(one.around.faults.all().empty());
}

TEST_CASE_METHOD(Watched, "outbox watch: a relay that hangs hides nothing, and the lock's holder is named") {
  owner.ask("begin");
  owner.ask("select 1 from ratchet.relay for update");
  for (int i = 0; i < 7; ++i)
    app.emit("orders", "k", "k/" + std::to_string(2 + i));
  CHECK(eventually([&] { return one.metric(kRows) == 7; }));
  const std::string holder =
      "waits for a lock that backend " + owner.ask("select pg_backend_pid()") + ", user postgres";
  CHECK(eventually([&] { return text("relay.stuck").find(holder) != std::string::npos; }));
  owner.ask("rollback");
  REQUIRE(all_published());
  CHECK(eventually([&] { return !alarmed("relay.stuck"); }));
  CHECK_FALSE(one.relay->trouble());
}

TEST_CASE_METHOD(Watched, "outbox watch: a relay that may not read is told, and counts against the budget") {
  owner.ask("revoke execute on function ratchet.relay_read from ratchet_run");
  app.emit("orders", "k", "k/2");
  CHECK(eventually([&] { return alarmed("relay.stuck"); }));
  CHECK(text("relay.stuck") ==
        "events wait and none is published: reading the outbox: permission denied for function relay_read");
  CHECK(one.metric(kRows) == 1);
  owner.ask("grant execute on function ratchet.relay_read to ratchet_run");
  REQUIRE(all_published());
  CHECK(eventually([&] { return !alarmed("relay.stuck"); }));
}

TEST_CASE_METHOD(Watched, "outbox watch: what an operator paused has no other alarm") {
  one.relay->pause(true);
  app.emit("orders", "k", "k/2");
  REQUIRE(eventually([&] { return one.metric(kRows) == 1; }));
  const std::string since = app.ask("select clock_timestamp()");
  REQUIRE(
      eventually([&] { return app.ask("select clock_timestamp() - '" + since + "' > interval '1500 ms'") == "t"; }));
  CHECK_FALSE(alarmed("relay.stuck"));
  one.relay->pause(false);
  REQUIRE(all_published());
}

TEST_CASE("outbox watch: without Kafka it measures; the smallest pool's relay lends its own connection") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  Sql app(servers.postgres, "app");
  Instance one(servers, "one", soon(), {}, [](PoolSettings& pool) { pool.size = 3; });
  SECTION("without Kafka") {
    app.emit("orders", "k", "k/1");
    REQUIRE(one.relay->measure(7, one.around.faults));
    CHECK(eventually([&] { return one.metric("ratchet_outbox_unpublished_rows") == 1; }));
    one.stop(Leave::fault, 0s);
    CHECK(one.metric("ratchet_outbox_unpublished_rows") == -1);
    REQUIRE(one.relay->measure(8, one.around.faults));
    one.stop(Leave::asked, kGenerous);
  }
  SECTION("a pool whose connections are all in use") {
    one.start({"orders"});
    REQUIRE(eventually([&] { return one.relay->leads(); }));
    auto other = one.pool->lease(one.around.in(kGenerous));
    REQUIRE(other);
    app.emit("orders", "k", "k/1");
    REQUIRE(eventually([&] { return servers.kafka.count("orders") == 1; }));
    one.relay->pause(true);
    app.emit("orders", "k", "k/2");
    CHECK(eventually([&] { return one.metric("ratchet_outbox_unpublished_rows") == 1; }));
    CHECK_FALSE(one.around.alarmed("outbox.unknown.main"));
  }
}

TEST_CASE("outbox watch: no connection to be had is told") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  Instance one(servers, "one", soon(), {}, [](PoolSettings& pool) { pool.size = 3; });
  std::vector<db::Lease> all;
  for (int i = 0; i < 2; ++i) {
    auto lease = one.pool->lease(one.around.in(kGenerous));
    REQUIRE(lease);
    all.push_back(std::move(*lease));
  }
  one.start({"orders"});
  const auto text = [&](const std::string& id) {
    for (const auto& alarm : one.around.alarms.list())
      if (alarm.id == id) return alarm.text;
    return std::string();
  };
  CHECK(eventually([&] {
    return text("relay.stuck.main") ==
           "no event is published, and how many wait is not known: no connection to be had: all 3 are busy";
  }));
  CHECK(eventually([&] {
    return text("outbox.unknown.main") == "how many events wait is not known: no connection to be had: all 3 are busy";
  }));
  all.clear();
  CHECK(eventually([&] { return text("relay.stuck.main").empty() && text("outbox.unknown.main").empty(); }));
}
