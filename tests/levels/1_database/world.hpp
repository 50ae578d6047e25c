// A real PostgreSQL with our schema in it, a login with ratchet_run's rights, and a pool: what these tests stand on.
#pragma once

#include <atomic>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/1_database/pool.hpp"
#include "levels/1_database/schema.hpp"
#include "tests/support/no_more_threads.hpp"
#include "tests/support/postgres.hpp"
#include "tests/support/real_time.hpp"

namespace ratchet::tests {

using namespace std::chrono_literals;

// Waits for a state; the deadline is only there to end a test that would hang.
template <class Condition>
bool eventually(Condition condition, std::chrono::seconds most = 30s) {
  for (const auto end = Clock::now() + most; Clock::now() < end; std::this_thread::sleep_for(1ms)) {
    if (condition()) return true;
  }
  return condition();
}

class Faults final : public FaultSink {
 public:
  void report(const Fault&) noexcept override { ++count; }
  std::atomic<int> count{0};
};

// A server and connections to it, without a pool.
class Server {
 public:
  explicit Server(const std::vector<std::string>& config = {}) : postgres(config) {}

  std::unique_ptr<db::Connection> connect(const std::string& user = "postgres",
                                          const std::string& database = "postgres") {
    Patience patience(time.now() + 30s);
    auto made = db::Connection::connect({postgres.socket_dsn(database, user), "test", 20s}, patience, time);
    if (!made) throw std::runtime_error(made.error().text);
    return std::move(*made);
  }
  // One value, as text.
  std::string ask(const std::string& sql) {
    if (!asker_) asker_ = connect();
    return must(asker_->exec(sql));
  }
  static std::string must(Result<db::Rows, db::SqlError> rows) {
    if (!rows) throw std::runtime_error(rows.error().sqlstate + " " + rows.error().text);
    return rows->size() == 0 ? std::string() : std::string(rows->text(0, 0));
  }
  void migrate() {
    auto owner = connect();
    auto done = db::migrate(*owner);
    if (!done) throw std::runtime_error(done.error().text);
    ask("create role app login in role ratchet_run");
  }

  RealTime time;
  Postgres postgres;

 private:
  std::unique_ptr<db::Connection> asker_;
};

// The same with the schema, and a pool that is open.
class World : public Server {
 public:
  explicit World(int size = 4, milliseconds statement = 5000ms, const std::vector<std::string>& config = {})
      : Server(config), log({LogFormat::text, 3, false}, time), alarms(time, log) {
    migrate();
    PoolSettings settings;
    settings.name = "main";
    settings.dsn = postgres.socket_dsn("postgres", "app");
    settings.size = size;
    settings.statement = statement;
    pool = std::make_unique<db::Pool>(settings,
                                      db::Pool::Parts{"test", time, log, metrics, alarms, faults, [] { return 0.5; }});
    open();
  }
  ~World() {
    Patience patience(time.now() + 5s);
    pool->close(patience);
  }
  void open() {
    Patience patience(time.now() + 30s);
    auto opened = pool->open(patience, ++incarnation_);
    if (!opened) throw std::runtime_error(opened.error().text);
  }

  Log log;
  Metrics metrics;
  AlarmBoard alarms;
  Faults faults;
  std::unique_ptr<db::Pool> pool;

 private:
  Incarnation incarnation_ = 0;
};

}  // namespace ratchet::tests
