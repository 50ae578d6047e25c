// What every part of level 2 needs around it, real but quiet.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/2_broker/producer.hpp"
#include "levels/core/fault.hpp"
#include "tests/support/real_time.hpp"

namespace ratchet::tests {

using namespace std::chrono_literals;

constexpr auto kGenerous = 60s;  // a busy machine may be slow; a state that never comes still fails the test

// Keeps what is reported.
class Faults final : public FaultSink {
 public:
  void report(const Fault& fault) noexcept override {
    std::lock_guard lock(mutex_);
    all_.push_back(fault);
    changed_.notify_all();
  }
  std::vector<Fault> all() const {
    std::lock_guard lock(mutex_);
    return all_;
  }
  bool wait_for(FaultKind kind) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kGenerous, [&] {
      for (const auto& fault : all_) {
        if (fault.kind == kind) return true;
      }
      return false;
    });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Fault> all_;
};

// Keeps what comes back from a producer.
class Deliveries final : public kafka::DeliverySink {
 public:
  void delivered(const kafka::Delivery& delivery) override {
    std::lock_guard lock(mutex_);
    all_.push_back(delivery);
    changed_.notify_all();
  }
  bool wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kGenerous, [&] { return all_.size() >= count; });
  }
  std::vector<kafka::Delivery> all() const {
    std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<kafka::Delivery> all_;
};

struct Around {
  RealTime time;
  // RATCHET_TEST_LOG=1 shows the log of the code under test.
  int log_fd = std::getenv("RATCHET_TEST_LOG") != nullptr ? ::dup(2) : ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{LogSettings{LogFormat::text, 7, false}, time, log_fd};
  Metrics metrics;
  AlarmBoard alarms{time, log};
  Faults faults;
  std::shared_ptr<kafka::Reaper> reaper = kafka::make_reaper(log, alarms);

  Around() = default;
  ~Around() { ::close(log_fd); }
  Around(const Around&) = delete;
  Around& operator=(const Around&) = delete;

  kafka::Producer::Parts parts() { return {time, log, metrics, alarms, faults, reaper, "ratchetd-test"}; }
  TimePoint in(Duration wait) const { return time.now() + wait; }
  bool alarmed(std::string_view id) const {
    for (const auto& alarm : alarms.list()) {
      if (alarm.id == id) return true;
    }
    return false;
  }

  std::unique_ptr<kafka::Producer> producer(const BrokerSettings& settings) {
    auto made = kafka::Producer::create(settings, 7, parts());
    if (!made) throw std::runtime_error(made.error().text);
    return std::move(*made);
  }
};

inline BrokerSettings broker_at(const std::string& bootstrap) {
  BrokerSettings settings;
  settings.bootstrap = {bootstrap};
  return settings;
}

// Polls until `condition` holds; false after a generous wait.
template <class Condition>
bool eventually(Condition condition) {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  for (auto end = RealTime().now() + kGenerous; RealTime().now() < end; never.wait_for(lock, 5ms)) {
    if (condition()) return true;
  }
  return condition();
}

}  // namespace ratchet::tests
