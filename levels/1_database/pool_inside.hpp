// The inside of Pool: its slots, its two threads. Included by pool.cpp and pool_keeper.cpp only.
//
// Two threads, because connecting takes time and watching must not wait for it. The keeper polls the sockets (idle
// ones for anything, lent ones for the end of the connection) and cuts calls that are overdue; it never calls the
// server. The opener connects, one at a time: it replaces what is lost, fills up slowly, and is the "one immediate
// reconnect" when all are lost. It also looks what became of calls that were given up, and until it has, nothing is lent.
//
// A slot is one server connection. Whoever uses it owns the Connection; the slot always knows where it is, and is
// taken off the list, under the mutex, before the Connection is destroyed: so the keeper may poll and cut whatever
// is on the list. close() takes off all slots; what comes home later is a stranger and is thrown away.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "levels/1_database/commit_stall.hpp"
#include "levels/1_database/pool.hpp"
#include "levels/1_database/refill.hpp"
#include "levels/1_database/unfinished.hpp"

namespace ratchet::db {

class PoolerCheck;

class Pool::Inside {
 public:
  Inside(PoolSettings settings, Parts parts);
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  Result<Nothing> open(Patience& patience, Incarnation incarnation);
  std::optional<Fault> probe(Patience& patience, const Check& more);
  void close(Patience& patience);
  Result<std::unique_ptr<Connection>, LeaseError> lease(TimePoint deadline);
  void give_back(std::unique_ptr<Connection> connection) noexcept;
  void watch_until(TimePoint deadline) noexcept;  // a call will be due then: the keeper must not sleep longer
  void bind(const Connection* connection, const Patience* patience) noexcept;
  bool old(const Connection* connection) noexcept;
  void report(const SqlError& error);
  void broken(const SqlError& error);
  void stored() noexcept;
  void not_stored(const SqlError& error);
  int reconnect();
  std::optional<LastError> last_error() const;
  void remember(const std::string& error);
  std::optional<Fault> fault() const;
  std::optional<std::string> degraded() const;
  Counts counts() const;

  const PoolSettings settings_;

 private:
  enum class Phase : std::uint8_t {
    closed,
    open,
    lost,     // a fault was reported; nothing is lent or opened any more until close and open
    closing,
  };
  enum class Use : std::uint8_t { joining, idle, lent, probing, looked_at };
  struct Slot {
    Connection* connection;             // valid as long as the slot is on the list
    std::unique_ptr<Connection> home;   // when idle
    Use use = Use::joining;
    bool reserved = false;              // for the probe
    bool dead = false;                  // the socket has ended, though its user may not know yet
    TimePoint retire_at{};
    const Patience* patience = nullptr;  // of whoever uses it: cut when that is over
  };
  struct Waiter {
    std::condition_variable woken;
    std::unique_ptr<Connection> given;
    bool refused = false;
  };
  using Lock = std::unique_lock<std::mutex>;
  using Connections = std::vector<std::unique_ptr<Connection>>;

  // pool.cpp
  Fault fault_of(FaultKind kind, const std::string& text) const;
  void note(const std::string& text);  // the mutex is held
  bool may_retire(const Slot& slot, TimePoint now) const noexcept;
  Result<std::unique_ptr<Connection>> connect(Patience& patience);
  Result<Nothing> start_threads();
  Result<Nothing> check_role(Connection& connection, TimePoint until, const Patience& patience);
  std::optional<Fault> wrong_server(const Rows& answer) const;
  std::unique_ptr<Connection> take(Slot& slot, Use use);
  Slot* find(const Connection* connection) noexcept;
  Slot* free_slot(bool for_probe) noexcept;
  void settle(Slot& slot, std::unique_ptr<Connection> connection);  // home, or straight to whoever waits longest
  void remove(const Connection* connection, const std::string& why);
  void lose(Fault fault);
  void refuse_waiters();
  std::optional<Fault> no_probe_connection() const;
  std::optional<Fault> judge_probe(const Result<Rows, SqlError>& answer, const Connection& connection) const;
  int live() const noexcept;
  int lendable() const noexcept;
  int missing() const noexcept;
  int present() const noexcept;
  void show() noexcept;  // the gauges

  // pool_first.cpp
  static constexpr int kPooled = -1;  // no backend has that number
  std::optional<Fault> first_connections(Patience& patience, Connections& all);
  std::optional<Fault> one_more(Patience& patience, Connections& all, PoolerCheck& pooler);
  std::optional<Fault> see_backend(Connection& connection, std::size_t which, Patience& patience, PoolerCheck& pooler);
  Fault too_few(const Fault& why, int got) const;

  // pool_unfinished.cpp
  std::optional<Fault> hindrance(Connection& connection, Patience& patience);
  void note_left(const Connection& connection);
  std::optional<TimePoint> next_unfinished_look() noexcept;
  void look_at_unfinished(Lock& lock);
  Unfinished::Finding judge_unfinished(const Rows& rows, bool raising);
  void tell_unfinished(const Unfinished::Finding& finding);
  void hand_out();

  // pool_keeper.cpp
  void keep();
  TimePoint next_look(TimePoint now) const noexcept;
  void cut_overdue(TimePoint now);
  void heard(Lock& lock, Connection* which);
  void retire_old(std::vector<std::unique_ptr<Connection>>& old, TimePoint now);
  void kick() noexcept;
  void open_more();
  void open_one(Lock& lock);
  void joined(std::unique_ptr<Connection> connection);
  void not_joined(const Fault& fault, bool alone);
  void slow_start(TimePoint now);
  bool short_for_long(TimePoint now);

  const Parts parts_;
  Resolver resolver_;
  const std::string where_;             // of the DSN, for people
  mutable std::mutex mutex_;
  std::condition_variable opener_;      // wakes the opener
  std::condition_variable came_home_;   // wakes close() and probe()
  Phase phase_ = Phase::closed;
  bool stopping_ = false;
  Incarnation incarnation_ = 0;
  std::uint64_t generation_ = 0;        // counts open() and close(): a connection made for another one is unwanted
  std::vector<std::unique_ptr<Slot>> slots_;
  std::deque<Waiter*> waiting_;         // first come, first served
  Refill refill_;                       // when the opener connects
  std::optional<TimePoint> short_since_;  // fewer than are needed
  Unfinished unfinished_;               // over close() and open(): what was left behind stays there
  TimePoint look_at_{};                 // when the opener looks at them next
  std::string hangs_;                   // what the latest look found; "": nothing
  Patience* opening_ = nullptr;         // of the attempt under way
  std::string open_error_;              // why the latest attempt failed; "" when it did not
  std::optional<Fault> lost_;           // in phase `lost`
  std::optional<LastError> last_error_;
  std::atomic<bool> disk_full_{false};
  std::atomic<bool> stalling_{false};
  CommitStall stall_;                   // with mutex_
  std::atomic<bool> doubt_{false};  // a user was told what may be everybody's matter
  std::atomic<TimePoint> wake_at_{TimePoint::max()};  // until when the keeper sleeps; max: it is awake
  const int event_;
  Gauge idle_, used_, most_, pending_, left_;
  Counter timeouts_;
  Histogram create_seconds_, wait_seconds_;
  std::thread keeper_thread_, opener_thread_;
};

}  // namespace ratchet::db
