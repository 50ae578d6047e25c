// A pool over a real server, and what these tests look at.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/1_database/pool.hpp"
#include "tests/support/no_more_threads.hpp"
#include "tests/support/postgres.hpp"
#include "tests/support/real_time.hpp"

namespace ratchet::tests {

using namespace std::chrono_literals;

// Only there to end a test that would hang.
constexpr auto kAges = 30s;

template <class Condition>
bool comes_true(Condition condition) {
  for (const auto end = Clock::now() + kAges; Clock::now() < end; std::this_thread::sleep_for(1ms)) {
    if (condition()) return true;
  }
  return condition();
}

class FaultList final : public FaultSink {
 public:
  void report(const Fault& fault) noexcept override {
    std::lock_guard lock(mutex_);
    all_.push_back(fault);
  }
  std::vector<Fault> all() const {
    std::lock_guard lock(mutex_);
    return all_;
  }
  std::size_t size() const { return all().size(); }

 private:
  mutable std::mutex mutex_;
  std::vector<Fault> all_;
};

inline PoolSettings pool_settings(const Postgres& server, int size) {
  PoolSettings settings;
  settings.name = "main";
  settings.dsn = server.dsn("app", "app");
  settings.password = Secret(Secret::Kind::inline_text, "right");
  settings.size = size;
  return settings;
}

inline void with_app(Postgres& server) {
  server.create_role("app", "right");
  server.create_database("app", "app");
}

// One server for all sections of a test case, running.
inline Postgres& the_server() {
  static Postgres server;
  static const bool once = (with_app(server), true);
  static_cast<void>(once);
  if (server.postmaster() == 0) server.start();
  server.thaw();
  return server;
}

// Sessions of ours the server knows.
inline int sessions(Postgres& server) {
  return std::stoi(server.sql("select count(*) from pg_stat_activity where application_name = 'ratchetd test'"));
}

struct PoolWorld {
  explicit PoolWorld(PoolSettings settings)
      : log({LogFormat::text, 3, false}, time), alarms(time, log),
        pool(std::move(settings), db::Pool::Parts{"test", time, log, metrics, alarms, faults, [] { return 0.5; }}) {}

  Result<Nothing> open(Incarnation incarnation, Duration within = kAges) {
    Patience patience(time.now() + within);
    return pool.open(patience, incarnation);
  }
  void close(Duration within = kAges) {
    Patience patience(time.now() + within);
    pool.close(patience);
  }
  std::optional<Fault> probe(Duration within) {
    Patience patience(time.now() + within);
    return pool.probe(patience);
  }
  bool full() { return comes_true([this] { return pool.counts().open == pool.settings().size; }); }

  RealTime time;
  Log log;
  Metrics metrics;
  AlarmBoard alarms;
  FaultList faults;
  db::Pool pool;
};

}  // namespace ratchet::tests
