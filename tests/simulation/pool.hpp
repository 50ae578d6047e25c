// The pool of one simulated daemon: the product's Refill decides when to connect, the world answers.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "levels/1_database/refill.hpp"
#include "tests/simulation/world.hpp"

namespace ratchet::simulation {

class Pool {
 public:
  static constexpr int kSize = 4;

  Pool(World& world, FaultSink& faults) : world_(world), faults_(faults) {}
  ~Pool() { close(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // What an attempt to connect ends with now; empty: well.
  static std::optional<Fault> obstacle(const World& world);

  void open(Incarnation incarnation);  // with its first connection
  void close();
  std::optional<Fault> probe() const;

  using Connection = std::int64_t;  // 0: none
  Connection lease();
  void give_back(Connection connection);
  void discard(Connection connection);  // in the middle of a call
  bool works(Connection connection) const { return connections_.count(connection) > 0; }
  // Sends a statement on a connection lent. `then` is called once; after Answer::lost the connection is gone.
  void call(Connection connection, bool writes, Database::Statement statement, std::function<void(Answer)> then);

 private:
  struct Slot {
    bool lent = false;
    std::function<void(Answer)> pending;
    std::uint64_t call = 0;  // counts, so that a late timeout finds another call
  };
  int live() const noexcept { return static_cast<int>(connections_.size()); }
  void join();
  void ended(Connection connection);
  void answer(Connection connection, Answer said);
  void connect_more();
  void attempt(std::uint64_t number);
  void lose(FaultKind kind, const char* text);
  template <class F>
  void after(Duration wait, F what) {
    world_.time.after(wait, [life = std::weak_ptr<int>(life_), what] {
      if (!life.expired()) what();
    });
  }

  World& world_;
  FaultSink& faults_;
  std::shared_ptr<int> life_ = std::make_shared<int>();
  db::Refill refill_{kSize};
  bool open_ = false;
  std::optional<Fault> lost_;
  Incarnation incarnation_ = 0;
  std::map<Connection, Slot> connections_;  // the session's number
  bool connecting_ = false;
  bool alone_ = false;
  TimePoint connect_until_{};
  std::uint64_t attempts_ = 0;  // counts open, close and attempts
  std::optional<TimePoint> failed_at_;
};

}  // namespace ratchet::simulation
