// A real PostgreSQL with our schema, a real Kafka, and instances of the relay between them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "levels/1_database/pool.hpp"
#include "levels/1_database/schema.hpp"
#include "levels/2_broker/relay.hpp"
#include "tests/levels/2_broker/around.hpp"
#include "tests/support/kafka.hpp"
#include "tests/support/postgres.hpp"

namespace ratchet::tests {

// One connection, of the test's own.
class Sql {
 public:
  Sql(const Postgres& server, const std::string& user) {
    Patience patience(time_.now() + kGenerous);
    auto made =
        db::Connection::connect({server.socket_dsn("postgres", user), "test", milliseconds(60'000)}, patience, time_);
    if (!made) throw std::runtime_error(made.error().text);
    connection_ = std::move(*made);
  }
  db::Connection& operator*() noexcept { return *connection_; }
  std::string ask(const std::string& sql) {
    auto rows = connection_->exec(sql);
    if (!rows) throw std::runtime_error(rows.error().sqlstate + " " + rows.error().text);
    return rows->size() == 0 ? std::string() : std::string(rows->text(0, 0));
  }
  void emit(const std::string& topic, const std::string& key, const std::string& value) {
    ask("select ratchet.emit('" + topic + "', '" + key + "', '" + value + "', '{\"ce_id\": \"" + value + "\"}')");
  }

 private:
  RealTime time_;
  std::unique_ptr<db::Connection> connection_;
};

struct Servers {
  Postgres postgres{{"max_connections = 100"}};
  Kafka kafka;
  Servers() {
    Sql owner(postgres, "postgres");
    auto done = db::migrate(*owner);
    if (!done) throw std::runtime_error(done.error().text);
    owner.ask("create role app login in role ratchet_run");
  }
};

// Small times, so that tests are quick; the rules are the same.
inline kafka::RelayTuning quick() {
  kafka::RelayTuning tuning;
  tuning.ttl = 3s;
  tuning.beat = 500ms;
  tuning.standby = 50ms;
  tuning.reclaim = 200ms;
  tuning.stats = 100ms;
  return tuning;
}

// What one daemon has of this: pool, producer, relay.
class Instance {
 public:
  Instance(Servers& servers, const std::string& name, kafka::RelayTuning tuning = quick(), OutboxSettings budget = {},
           const std::function<void(PoolSettings&)>& tune = {})
      : servers_(servers) {
    PoolSettings settings;
    settings.name = "main";
    settings.dsn = servers.postgres.socket_dsn("postgres", "app");
    settings.size = 4;
    if (tune) tune(settings);
    pool = std::make_unique<db::Pool>(settings, db::Pool::Parts{name, around.time, around.log, around.metrics,
                                                                around.alarms, around.faults, [] { return 0.5; }});
    Patience patience(around.in(kGenerous));
    auto opened = pool->open(patience, 1);
    if (!opened) throw std::runtime_error(opened.error().text);
    relay = std::make_unique<kafka::Relay>(
        kafka::Relay::Parts{*pool, around.time, around.log, around.metrics, around.alarms, name, budget, tuning});
  }
  ~Instance() {
    Patience none(around.in(0s));
    relay->stop(none, Leave::fault);
    relay.reset();
    producer.reset();
    pool->close(none);
  }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  void start(const std::vector<std::string>& topics, const std::map<std::string, std::string>& properties = {}) {
    BrokerSettings settings = broker_at(servers_.kafka.bootstrap());
    settings.properties = properties;
    producer = around.producer(settings);
    Patience patience(around.in(kGenerous));
    if (auto fault = producer->check_topics(topics, patience)) throw std::runtime_error(fault->text);
    if (auto started = relay->start(*producer, 7, around.faults); !started)
      throw std::runtime_error(started.error().text);
  }
  void stop(Leave leave, Duration within) {
    Patience patience(around.in(within));
    relay->stop(patience, leave);
    producer.reset();
  }
  double metric(const std::string& name) {
    std::string all = around.metrics.render();
    auto at = all.find("\n" + name + "{pool=\"main\"} ");
    return at == std::string::npos ? -1 : std::stod(all.substr(all.find(' ', at)));
  }

  Around around;
  std::unique_ptr<db::Pool> pool;
  std::unique_ptr<kafka::Relay> relay;
  std::unique_ptr<kafka::Producer> producer;

 private:
  Servers& servers_;
};

// One instance, not started, on servers with the topic "orders".
struct World {
  explicit World(int partitions = 1, kafka::RelayTuning tuning = quick()) : one(servers, "one", tuning) {
    servers.kafka.create_topic("orders", partitions);
  }
  // Everything emitted so far has been acknowledged.
  bool all_published() {
    return eventually([this] { return app.ask("select unpublished_rows from ratchet.outbox_stats()") == "0"; });
  }

  Servers servers;
  Sql app{servers.postgres, "app"};
  Instance one;
};

// What arrived, judged the way a consumer sees it.
struct Arrived {
  std::set<std::string> values;  // distinct
  std::size_t records = 0;
  std::size_t inversions = 0;  // first occurrences of one key that came in the wrong order
};

// Values are "KEY/NUMBER", numbers rising with each commit of the key.
inline Arrived arrived(Kafka& kafka, const std::string& topic) {
  Arrived found;
  std::map<std::string, long> last;
  for (const auto& record : kafka.consume(topic)) {
    ++found.records;
    if (!found.values.insert(*record.value).second) continue;
    auto slash = record.value->find('/');
    long number = std::stol(record.value->substr(slash + 1));
    auto [at, fresh] = last.emplace(*record.key, number);
    if (!fresh && number < at->second) ++found.inversions;
    at->second = std::max(at->second, number);
  }
  return found;
}

}  // namespace ratchet::tests
