#include "levels/2_broker/relay.hpp"

#include "tests/levels/2_broker/relay_world.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

struct OnThreePartitions : World {
  OnThreePartitions() : World(3) {}
};

}  // namespace

TEST_CASE_METHOD(OnThreePartitions,
                 "relay: what is committed arrives with key, value and headers, in order, and the cursor follows") {
  app.emit("orders", "before", "before/0");
  one.start({"orders"});
  for (int i = 0; i < 500; ++i)
    app.emit("orders", "k" + std::to_string(i % 7), "k" + std::to_string(i % 7) + "/" + std::to_string(i));
  app.ask("begin");
  app.emit("orders", "k0", "k0/99999");
  app.ask("rollback");
  REQUIRE(eventually([&] { return servers.kafka.count("orders") >= 501; }));
  auto found = arrived(servers.kafka, "orders");
  CHECK(found.values.size() == 501);
  CHECK(found.records == 501);
  CHECK(found.inversions == 0);
  for (const auto& record : servers.kafka.consume("orders")) {
    CHECK(record.headers == std::vector<std::pair<std::string, std::string>>{{"ce_id", *record.value}});
  }
  CHECK(one.relay->leads());
  CHECK(eventually([&] { return one.metric("ratchet_relay_published_total") == 501; }));
  CHECK(one.metric("ratchet_relay_leads") == 1);
  CHECK(eventually([&] { return one.metric("ratchet_outbox_unpublished_rows") == 0; }));
  one.stop(Leave::asked, kGenerous);
  CHECK_FALSE(one.relay->leads());

  one.start({"orders"});
  app.emit("orders", "after", "after/1");
  REQUIRE(eventually([&] { return servers.kafka.count("orders") >= 502; }));
  CHECK(servers.kafka.count("orders") == 502);
  CHECK(one.around.faults.all().empty());
}

TEST_CASE("relay: one leads, the other stands by and takes over at once after a stop, within the TTL after a death") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  Sql app(servers.postgres, "app");
  auto tuning = quick();
  auto one = std::make_unique<Instance>(servers, "one", tuning);
  Instance two(servers, "two", tuning);
  one->start({"orders"});
  REQUIRE(eventually([&] { return one->relay->leads(); }));
  two.start({"orders"});
  app.emit("orders", "k", "k/1");
  REQUIRE(eventually([&] { return servers.kafka.count("orders") == 1; }));
  CHECK_FALSE(two.relay->leads());

  auto asked = one->around.time.now();
  one->stop(Leave::asked, kGenerous);
  REQUIRE(eventually([&] { return two.relay->leads(); }));
  CHECK(one->around.time.now() - asked < tuning.ttl);  // it did not wait for the lease to run out
  app.emit("orders", "k", "k/2");
  REQUIRE(eventually([&] { return servers.kafka.count("orders") == 2; }));

  // `two` dies without a word: its connections are cut and its relay gets no time to say goodbye.
  one->start({"orders"});
  two.stop(Leave::fault, 0s);
  app.emit("orders", "k", "k/3");
  REQUIRE(eventually([&] { return one->relay->leads(); }));
  REQUIRE(eventually([&] { return servers.kafka.count("orders") >= 3; }));
  auto found = arrived(servers.kafka, "orders");
  CHECK(found.values.size() == 3);
  CHECK(found.inversions == 0);
}

TEST_CASE("relay: a record refused for good is buried alone, everything else arrives") {
  Servers servers;
  servers.kafka.create_topic("small", 1, {{"max.message.bytes", "20000"}});
  Sql app(servers.postgres, "app");
  Instance one(servers, "one");
  app.ask("begin");
  for (int i = 0; i < 300; ++i) {
    if (i == 150) {
      app.ask("select ratchet.emit('small', 'big', convert_to('big/' || repeat('9', 100000), 'UTF8'))");
    }
    app.emit("small", "k", "k/" + std::to_string(i));
  }
  app.ask("commit");
  one.start({"small"});  // batches up to a megabyte: the broker refuses innocent ones, too
  REQUIRE(eventually([&] { return app.ask("select unpublished_rows from ratchet.outbox_stats()") == "0"; }));
  auto found = arrived(servers.kafka, "small");
  CHECK(found.values.size() == 300);
  CHECK(found.inversions == 0);
  Sql owner(servers.postgres, "postgres");
  CHECK(owner.ask("select count(*) from ratchet.dead_letter") == "1");
  CHECK(owner.ask("select convert_from(key, 'UTF8') || ' ' || code from ratchet.dead_letter") == "big 10");
  CHECK(eventually([&] { return one.around.alarmed("dead-letters.main"); }));
  CHECK(one.metric("ratchet_relay_buried_total") == 1);
  CHECK(one.around.faults.all().empty());
  owner.ask("select ratchet.dead_discard(array(select id from ratchet.dead_letter))");
  CHECK(eventually([&] { return !one.around.alarmed("dead-letters.main"); }));
}

TEST_CASE_METHOD(World,
                 "relay: an event to a topic nobody requires and nobody created is buried, the service stays up") {
  one.start({"orders"});
  app.emit("orders", "k", "k/1");
  app.emit("oders", "k", "k/2");
  app.emit("not a topic/", "k", "k/3");
  app.ask("select ratchet.emit('orders', 'k', 'k/4', '[1]')");
  app.emit("orders", "k", "k/5");
  REQUIRE(all_published());
  CHECK(arrived(servers.kafka, "orders").values == std::set<std::string>{"k/1", "k/5"});
  Sql owner(servers.postgres, "postgres");
  CHECK(owner.ask("select string_agg(convert_from(payload, 'UTF8'), ' ' order by seq) from ratchet.dead_letter") ==
        "k/2 k/3 k/4");
  CHECK(servers.kafka.topics() == std::vector<std::string>{"orders"});
  CHECK(one.around.faults.all().empty());
}

TEST_CASE_METHOD(World, "relay: a required topic that is deleted is the level's fault, nothing is buried") {
  one.start({"orders"});
  app.emit("orders", "k", "k/1");
  REQUIRE(eventually([&] { return servers.kafka.count("orders") == 1; }));
  servers.kafka.delete_topic("orders");
  app.emit("orders", "k", "k/2");
  CHECK(one.around.faults.wait_for(FaultKind::topic_missing));
  Sql owner(servers.postgres, "postgres");
  CHECK(owner.ask("select count(*) from ratchet.dead_letter") == "0");
}

TEST_CASE_METHOD(World, "relay: paused it publishes nothing, resumed it publishes everything") {
  one.start({"orders"});
  app.emit("orders", "k", "k/1");
  REQUIRE(eventually([&] { return servers.kafka.count("orders") == 1; }));
  one.relay->pause(true);
  CHECK(one.around.alarmed("relay.paused"));
  CHECK(one.relay->paused());
  // The pause holds from the next page on; the stats that the relay takes after it prove that it has been seen.
  REQUIRE(eventually([&] { return one.metric("ratchet_outbox_unpublished_rows") == 0; }));
  app.emit("orders", "k", "k/2");
  REQUIRE(eventually([&] { return one.metric("ratchet_outbox_unpublished_rows") == 1; }));
  CHECK(one.relay->leads());
  CHECK(servers.kafka.count("orders") == 1);
  one.relay->pause(false);
  CHECK_FALSE(one.around.alarmed("relay.paused"));
  REQUIRE(eventually([&] { return servers.kafka.count("orders") == 2; }));
}

TEST_CASE("relay: over its budget it says so, also where it stands by, and takes it back when well below") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  Sql app(servers.postgres, "app");
  OutboxSettings budget;
  budget.max_rows = 10;
  Instance one(servers, "one", quick(), budget), two(servers, "two", quick(), budget);
  one.start({"orders"});
  REQUIRE(eventually([&] { return one.relay->leads(); }));
  two.start({"orders"});
  one.relay->pause(true);
  for (int i = 0; i < 11; ++i)
    app.emit("orders", "k", "k/" + std::to_string(i));
  CHECK(eventually([&] { return one.relay->behind() && two.relay->behind(); }));
  CHECK(one.around.alarmed("outbox.behind.main"));
  one.relay->pause(false);
  CHECK(eventually([&] { return !one.relay->behind() && !two.relay->behind(); }));
  CHECK_FALSE(one.around.alarmed("outbox.behind.main"));
}

TEST_CASE("relay: a frozen broker is a fault once the oldest record is too old, and nothing is lost") {
  Servers servers;
  servers.kafka.create_topic("orders", 1);
  Sql app(servers.postgres, "app");
  auto tuning = quick();
  tuning.unacknowledged = 1s;
  Instance one(servers, "one", tuning);
  one.start({"orders"});
  app.emit("orders", "k", "k/1");
  REQUIRE(eventually([&] { return servers.kafka.count("orders") == 1; }));
  servers.kafka.freeze();
  for (int i = 2; i < 200; ++i)
    app.emit("orders", "k", "k/" + std::to_string(i));
  CHECK(one.around.faults.wait_for(FaultKind::timed_out));
  CHECK(one.around.faults.all().front().incarnation == 7);
  one.stop(Leave::fault, 3s);
  servers.kafka.thaw();
  one.start({"orders"});
  REQUIRE(eventually([&] { return app.ask("select unpublished_rows from ratchet.outbox_stats()") == "0"; }));
  auto found = arrived(servers.kafka, "orders");
  CHECK(found.values.size() == 199);
  CHECK(found.inversions == 0);
}

TEST_CASE_METHOD(World, "relay: it ends within patience, whatever is frozen") {
  one.start({"orders"});
  REQUIRE(eventually([&] { return one.relay->leads(); }));
  app.emit("orders", "k", "k/1");
  REQUIRE(eventually([&] { return servers.kafka.count("orders") == 1; }));
  SECTION("the broker, asked to stop in order") {
    servers.kafka.freeze();
    app.emit("orders", "k", "k/2");
    one.stop(Leave::asked, 500ms);
    servers.kafka.thaw();
  }
  SECTION("the database, falling") {
    servers.postgres.freeze();
    one.stop(Leave::fault, 500ms);
    servers.postgres.thaw();
  }
  SECTION("the database, asked to stop in order") {
    servers.postgres.freeze();
    one.stop(Leave::asked, 500ms);
    servers.postgres.thaw();
  }
  CHECK_FALSE(one.relay->leads());
}

TEST_CASE_METHOD(World, "relay: the backlog of another cluster is rewritten, however long a single statement takes") {
  Sql owner(servers.postgres, "postgres");
  for (int i = 0; i < 20; ++i)
    app.emit("orders", "k", "k/" + std::to_string(i));
  // As after a restore; and each try takes far longer than a statement of the pool may.
  owner.ask("update ratchet.relay set system_id = 1");
  owner.ask(
      "create function public.slowly() returns trigger language plpgsql as "
      "$$ begin perform pg_sleep(3); return null; end $$");
  owner.ask(
      "create trigger slowly before update on ratchet.outbox for each statement execute function public.slowly()");
  Instance brief(servers, "brief", quick(), {}, [](PoolSettings& pool) { pool.statement = 500ms; });
  brief.start({"orders"});
  CHECK(eventually([&] { return brief.around.alarmed("relay.rewriting.main"); }));
  REQUIRE(all_published());
  CHECK_FALSE(brief.around.alarmed("relay.rewriting.main"));
  CHECK(arrived(servers.kafka, "orders").values.size() == 20);
  CHECK(arrived(servers.kafka, "orders").inversions == 0);
  CHECK(owner.ask("select system_id = (pg_control_system()).system_identifier from ratchet.relay") == "t");
  // Afterwards a statement is as short as before.
  owner.ask("begin");
  owner.ask("lock table ratchet.relay");
  CHECK(eventually(
      [&] { return owner.ask("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") != "0"; }));
  CHECK(eventually(
      [&] { return owner.ask("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == "0"; }));
  owner.ask("rollback");
  CHECK(brief.around.faults.all().empty());
}

TEST_CASE_METHOD(World, "relay: its connection is replaced at its age, and the lease stays where it is") {
  Instance aging(servers, "aging", quick(), {}, [](PoolSettings& pool) { pool.lifetime = seconds(1); });
  Sql owner(servers.postgres, "postgres");
  aging.start({"orders"});
  std::set<std::string> backends;
  int emitted = 0;
  REQUIRE(eventually([&] {
    app.emit("orders", "k", "k/" + std::to_string(emitted++));
    std::string backend = owner.ask("select pid from ratchet.relay");
    if (!backend.empty()) backends.insert(backend);
    return backends.size() >= 3;
  }));
  REQUIRE(all_published());
  auto found = arrived(servers.kafka, "orders");
  CHECK(found.values.size() == static_cast<std::size_t>(emitted));
  CHECK(found.inversions == 0);
  CHECK(owner.ask("select owner from ratchet.relay") == "aging");
  CHECK(aging.around.faults.all().empty());
}
