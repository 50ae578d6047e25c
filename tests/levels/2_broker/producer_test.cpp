#include "levels/2_broker/producer.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "levels/2_broker/verdict.hpp"
#include "tests/levels/2_broker/around.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/kafka.hpp"

using namespace ratchet;
using namespace ratchet::tests;

namespace {

std::optional<Fault> check(const Around& around, kafka::Producer& producer, const std::vector<std::string>& topics,
                           Duration wait) {
  Patience patience(around.in(wait));
  return producer.check_topics(topics, patience);
}

// A producer on a broker with the topic "orders".
struct OnKafka {
  explicit OnKafka(const std::vector<std::string>& config = {}, int partitions = 1,
                   const std::map<std::string, std::string>& properties = {})
      : kafka(config) {
    kafka.create_topic("orders", partitions);
    BrokerSettings settings = broker_at(kafka.bootstrap());
    settings.properties = properties;
    producer = around.producer(settings);
    producer->set_sink(&deliveries);
    if (auto fault = check(around, *producer, {"orders"}, kGenerous)) throw std::runtime_error(fault->text);
  }

  Kafka kafka;
  Around around;
  Deliveries deliveries;
  std::unique_ptr<kafka::Producer> producer;
};

struct OnThreePartitions : OnKafka {
  OnThreePartitions() : OnKafka({}, 3) {}
};
struct InSmallBatches : OnKafka {
  InSmallBatches() : OnKafka({}, 1, {{"batch.size", "9000"}}) {}
};
struct ClosingIdleConnections : OnKafka {
  ClosingIdleConnections() : OnKafka({"connections.max.idle.ms=1000"}, 1, {{"connections.max.idle.ms", "500"}}) {}
};

}  // namespace

TEST_CASE_METHOD(OnThreePartitions,
                 "producer: delivers key, value, headers and the lack of them as they are, in order") {
  REQUIRE(producer->produce({"orders", "k", "v", {{"ce_id", "1"}, {"empty", ""}}}, 1));
  REQUIRE(producer->produce({"orders", std::nullopt, "no key", {}}, 2));
  REQUIRE(producer->produce({"orders", "", "empty key", {}}, 3));
  REQUIRE(producer->produce({"orders", "tombstone", std::nullopt, {}}, 4));
  REQUIRE(producer->produce({"orders", "empty", "", {}}, 5));
  for (std::uint64_t i = 0; i < 2000; ++i) {
    std::string text = std::to_string(i);
    REQUIRE(producer->produce({"orders", "same", text, {}}, 100 + i));
  }
  producer->send();
  REQUIRE(deliveries.wait_for(2005));
  CHECK(producer->in_flight() == 0);
  CHECK_FALSE(producer->oldest_in_flight());
  std::set<std::uint64_t> tokens;
  for (const auto& delivery : deliveries.all()) {
    CHECK(delivery.code == 0);
    tokens.insert(delivery.token);
  }
  CHECK(tokens.size() == 2005);

  std::vector<std::string> same;
  for (const auto& record : kafka.consume("orders")) {
    if (record.key == "same") {
      same.push_back(*record.value);
    } else if (record.key == "k") {
      CHECK(record.value == "v");
      CHECK(record.headers == std::vector<std::pair<std::string, std::string>>{{"ce_id", "1"}, {"empty", ""}});
    } else if (!record.key) {
      CHECK(record.value == "no key");
    } else if (record.key == "") {
      CHECK(record.value == "empty key");
    } else if (record.key == "tombstone") {
      CHECK_FALSE(record.value);
    } else {
      CHECK(record.key == "empty");
      CHECK(record.value == "");
    }
  }
  REQUIRE(same.size() == 2000);
  for (std::size_t i = 0; i < same.size(); ++i)
    CHECK(same[i] == std::to_string(i));
}

TEST_CASE_METHOD(OnKafka, "producer: a missing topic is named and never created") {
  auto fault = check(around, *producer, {"orders", "missing"}, kGenerous);
  REQUIRE(fault);
  CHECK(fault->kind == FaultKind::topic_missing);
  CHECK(fault->text == "broker: topic \"missing\" does not exist: create it");
  CHECK(fault->level == 2);
  CHECK(fault->incarnation == 7);
  CHECK(producer->requires_topic("missing"));
  CHECK_FALSE(producer->requires_topic("other"));

  REQUIRE(producer->produce({"misspelt", "k", "v", {}}, 1));
  producer->send();
  REQUIRE(deliveries.wait_for(1));
  CHECK(kafka::is_about_topic(deliveries.all()[0].code));
  CHECK(kafka.topics() == std::vector<std::string>{"orders"});
  CHECK_FALSE(check(around, *producer, {"orders"}, kGenerous));
}

TEST_CASE_METHOD(OnKafka, "producer: a broker that is killed is noticed, and noticed again when it is back") {
  kafka.kill9();
  auto fault = check(around, *producer, {"orders"}, 1s);
  REQUIRE(fault);
  CHECK(fault->kind == FaultKind::refused);
  CHECK(fault->text == "broker: " + kafka.bootstrap() + ": connection refused");
  CHECK(check(around, *producer, {"orders"}, 1s));
  kafka.start();
  CHECK_FALSE(check(around, *producer, {"orders"}, kGenerous));
  CHECK(around.faults.all().empty());
}

TEST_CASE_METHOD(OnKafka, "producer: a frozen broker times out, and what was in flight arrives when it thaws") {
  kafka.freeze();
  auto before = around.time.now();
  REQUIRE(producer->produce({"orders", "k", "v", {}}, 1));
  producer->send();
  auto fault = check(around, *producer, {"orders"}, 1s);
  REQUIRE(fault);
  CHECK(fault->kind == FaultKind::timed_out);
  REQUIRE(producer->oldest_in_flight());
  CHECK(*producer->oldest_in_flight() <= before + 100ms);
  CHECK(*producer->oldest_in_flight() >= before - 200ms);
  kafka.thaw();
  REQUIRE(deliveries.wait_for(1));
  CHECK(deliveries.all()[0].code == 0);
  CHECK_FALSE(check(around, *producer, {"orders"}, kGenerous));
  CHECK(kafka.count("orders") == 1);
  CHECK(around.faults.all().empty());
}

TEST_CASE("producer: nobody there is refused, a name that does not resolve is said") {
  Around around;
  auto producer = around.producer(broker_at("127.0.0.1:1"));
  auto fault = check(around, *producer, {"orders"}, 1s);
  REQUIRE(fault);
  CHECK(fault->kind == FaultKind::refused);
  CHECK(fault->text == "broker: 127.0.0.1:1: connection refused");
}

TEST_CASE("producer: patience that shrinks ends the wait within a second") {
  Around around;
  auto producer = around.producer(broker_at("127.0.0.1:1"));
  Patience patience(around.in(1h));
  std::thread hurry([&] { patience.shrink_to(around.time.now()); });
  CHECK(producer->check_topics({"orders"}, patience));
  hurry.join();
}

TEST_CASE_METHOD(OnKafka, "producer: a wave is one batch, refused or taken as a whole, and the same producer goes on") {
  kafka.create_topic("small", 1, {{"max.message.bytes", "10000"}});
  REQUIRE_FALSE(check(around, *producer, {"small"}, kGenerous));
  constexpr std::uint64_t kRounds = 5, kRecords = 500;
  std::uint64_t token = 0;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    producer->resume();
    std::size_t weight = 0;
    for (std::uint64_t i = 0; i < kRecords; ++i, ++token) {
      const std::string value = std::to_string(token) + std::string(100, 'x');
      const kafka::Record record{"small", "k", value, {}};
      weight += kafka::Producer::weight(record);
      CHECK(producer->fits(i, weight));
      REQUIRE(producer->produce(record, token));
    }
    CHECK(deliveries.all().size() == round * (kRecords + 1));  // nothing left early
    Patience patience(around.in(kGenerous));
    CHECK(producer->flush(patience));
    // What the broker takes is taken at once afterwards.
    producer->resume();
    REQUIRE(producer->produce({"small", "k", "alone", {}}, token++));
    Patience again(around.in(kGenerous));
    CHECK(producer->flush(again));
  }
  const auto all = deliveries.all();
  REQUIRE(all.size() == kRounds * (kRecords + 1));
  for (const auto& delivery : all)
    CHECK(delivery.code == (delivery.token % (kRecords + 1) == kRecords ? 0 : 10));
  CHECK(kafka.count("small") == static_cast<std::int64_t>(kRounds));
  CHECK(around.faults.all().empty());
  CHECK_FALSE(check(around, *producer, {"small"}, kGenerous));
}

TEST_CASE_METHOD(InSmallBatches, "producer: what is more than a batch does not fit a wave") {
  CHECK(producer->fits(0, 9000));
  CHECK_FALSE(producer->fits(1, 9001));
  CHECK(producer->fits(9999, 1));
  CHECK_FALSE(producer->fits(10'000, 1));
  CHECK(kafka::Producer::weight({"orders", "key", "value", {{"name", "text"}}}) > 16);
}

TEST_CASE_METHOD(OnKafka, "producer: purge brings everything back, destroying is left to the reaper") {
  kafka.freeze();
  for (std::uint64_t i = 0; i < 1000; ++i)
    REQUIRE(producer->produce({"orders", "k", "v", {}}, i));
  Patience short_patience(around.in(100ms));
  CHECK_FALSE(producer->flush(short_patience));
  CHECK(producer->in_flight() == 1000);
  producer->purge();
  REQUIRE(deliveries.wait_for(1000));
  CHECK(producer->in_flight() == 0);
  for (const auto& delivery : deliveries.all())
    CHECK((delivery.code == -152 || delivery.code == -151));

  for (std::uint64_t i = 0; i < 10; ++i)
    REQUIRE(producer->produce({"orders", "k", "v", {}}, i));
  producer.reset();
  CHECK(deliveries.all().size() == 1000);
  kafka.thaw();
}

TEST_CASE("producer: the local queue is bounded") {
  Around around;
  auto producer = around.producer(broker_at("127.0.0.1:1"));
  std::string megabyte(1'000'000, 'x');
  std::uint64_t taken = 0;
  while (taken < 200 && producer->produce({"orders", "k", megabyte, {}}, taken))
    ++taken;
  CHECK(taken > 50);
  CHECK(taken < 80);
  CHECK(producer->in_flight() == taken);
}

TEST_CASE("producer: what the promise rests on cannot be set by properties") {
  Around around;
  for (const char* name : {"acks", "enable.idempotence", "partitioner", "message.timeout.ms", "bootstrap.servers",
                           "allow.auto.create.topics", "transactional.id", "request.required.acks"}) {
    BrokerSettings settings = broker_at("127.0.0.1:1");
    settings.properties[name] = "1";
    auto made = kafka::Producer::create(settings, 1, around.parts());
    REQUIRE_FALSE(made);
    CHECK(made.error().text == "broker: property " + std::string(name) + " is set by ratchetd itself");
  }
  BrokerSettings settings = broker_at("127.0.0.1:1");
  settings.properties["no.such.property"] = "1";
  auto made = kafka::Producer::create(settings, 1, around.parts());
  REQUIRE_FALSE(made);
  CHECK(made.error().text.find("no.such.property") != std::string::npos);
  settings.properties.clear();
  settings.secret_properties["sasl.password"] = Secret(Secret::Kind::file, "/nowhere/at/all");
  made = kafka::Producer::create(settings, 1, around.parts());
  REQUIRE_FALSE(made);
  CHECK(made.error().kind == FaultKind::authentication);
}

TEST_CASE("producer: record limits come from the topic, and are missing where the broker does not tell") {
  Kafka kafka;
  kafka.create_topic("small", 1, {{"max.message.bytes", "12345"}});
  kafka.create_topic("normal", 1);
  Around around;
  auto producer = around.producer(broker_at(kafka.bootstrap()));
  REQUIRE_FALSE(check(around, *producer, {"small", "normal"}, kGenerous));
  std::map<std::string, kafka::TopicLimits> limits;
  REQUIRE(eventually([&] {
    Patience patience(around.in(10s));
    limits = producer->topic_limits({"small", "normal"}, patience);
    return !limits.empty();
  }));
  CHECK(limits == std::map<std::string, kafka::TopicLimits>{{"small", {12345, 1}}, {"normal", {1048588, 1}}});
  kafka.kill9();
  Patience patience(around.in(500ms));
  CHECK(producer->topic_limits({"small", "normal"}, patience).empty());
}

TEST_CASE_METHOD(ClosingIdleConnections, "producer: idle connections that are closed are no fault") {
  std::mutex mutex;
  std::condition_variable never;
  for (std::uint64_t i = 0; i < 3; ++i) {
    std::unique_lock lock(mutex);
    never.wait_for(lock, 1500ms);  // idle on purpose: what is tested is what idleness does
    CHECK_FALSE(check(around, *producer, {"orders"}, kGenerous));
    REQUIRE(producer->produce({"orders", "k", "v", {}}, i));
    producer->send();
    REQUIRE(deliveries.wait_for(i + 1));
  }
  for (const auto& delivery : deliveries.all())
    CHECK(delivery.code == 0);
  CHECK(around.faults.all().empty());
}
