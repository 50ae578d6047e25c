// The relay of one simulated daemon: the product's Tenure, Window, verdicts and cursor arithmetic, driven by the
// answers of the simulated database and broker instead of a thread that waits for real ones. The order of steps is
// that of levels/2_broker/relay_session.cpp and relay_page.cpp.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "levels/2_broker/relay.hpp"
#include "levels/2_broker/tenure.hpp"
#include "tests/simulation/pool.hpp"

namespace ratchet::simulation {

class Relay {
 public:
  Relay(World& world, Pool& pool, FaultSink& faults, std::string owner)
      : world_(world), pool_(pool), faults_(faults), owner_(std::move(owner)) {}
  ~Relay() { stop(Leave::fault); }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  void start(Incarnation incarnation);
  // asked: what came back is saved and the lease released. fault: nothing is waited for.
  void stop(Leave leave);

 private:
  void session();
  void end_session();
  void acquire();
  void round();
  void read();
  void publish(const db::Page& page);
  void wait_home(const db::Page& page);
  void settle(const db::Page& page);
  void bury(const db::Page& page);
  void beat(std::function<void()> then);
  void save(std::function<void()> then);
  bool too_old();
  void call(bool writes, std::function<Answer(Database&, Database::Session)> does, std::function<void()> then);
  void report(FaultKind kind, const char* text);
  template <class F>
  void after(Duration wait, F what) {
    world_.time.after(wait, [run = std::weak_ptr<int>(run_), what] {
      if (!run.expired()) what();
    });
  }
  TimePoint now() const noexcept { return world_.time.now(); }

  static constexpr int kPage = 8;  // small, so that pages end in mid-window
  const kafka::RelayTuning tuning_{};

  World& world_;
  Pool& pool_;
  FaultSink& faults_;
  const std::string owner_;
  std::shared_ptr<int> run_;  // of start() or of a session: what was meant for an earlier one finds it gone
  Incarnation incarnation_ = 0;
  std::unique_ptr<Producer> producer_;
  Pool::Connection connection_ = 0;
  kafka::Window window_;
  kafka::Tenure tenure_{{tuning_.ttl, tuning_.beat, tuning_.save}};
  bool leads_ = false;
  bool producing_ = false;  // a page is on its way
  db::Page page_;           // that page
  Duration poll_{};
};

}  // namespace ratchet::simulation
