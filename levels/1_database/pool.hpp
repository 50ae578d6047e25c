// The connections to one database. Slots exist from level 0 on, unconnected: `lease` then answers not_connected.
// One keeper thread polls idle sockets (a dead server is seen in milliseconds), replaces broken connections while
// others serve, starts slowly (1, 2, 4, ...), retires connections by age (+-20 %), and cuts calls that outlive
// their deadline: nothing else beats a frozen server.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "config/settings.hpp"
#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/1_database/connection.hpp"
#include "levels/core/fault.hpp"

namespace ratchet::db {

enum class LeaseError : std::uint8_t {
  not_connected,  // the pool is closed (below level 1, or on the way down)
  timed_out,      // all connections busy for the whole wait
};

class Pool;

// A connection lent. Gives itself back when destroyed; a broken one is replaced.
class Lease {
 public:
  Lease(Pool& pool, std::unique_ptr<Connection> connection) noexcept;
  ~Lease();
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) = delete;
  Connection& operator*() const noexcept { return *connection_; }
  Connection* operator->() const noexcept { return connection_.get(); }

  // Until when the call made next may take; our watchdog cuts the connection then. Set before each call; a call
  // without it gets the pool's `statement` and a bit.
  void allow_until(TimePoint deadline) noexcept;
  // The connection is cut as soon as this patience is over, also when it has shrunk meanwhile. Null: no longer. It must
  // be taken back before the patience is destroyed; giving the connection back does that, too.
  void bound_by(const Patience* patience) noexcept;
  // The pool would replace this connection if it came home now: whoever keeps one for long gives it back then.
  bool old() const noexcept;

 private:
  friend class Pool;
  Pool* pool_;
  std::unique_ptr<Connection> connection_;
};

class Pool {
 public:
  struct Parts {
    std::string instance;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    AlarmBoard& alarms;
    FaultSink& faults;
    std::function<double()> chance;  // uniform in [0, 1), any thread
    int needed = 1;                  // with fewer connections it does not open, and is lost after a few seconds
  };
  Pool(PoolSettings settings, Parts parts);
  ~Pool();

  const PoolSettings& settings() const noexcept;

  // The level's raise: as many connections as are needed, each of which answers, on a server of the right role and in a
  // session that stays its own. From then on faults of this incarnation are reported. The other connections follow by
  // themselves. Only while closed. Worker thread.
  Result<Nothing> open(Patience& patience, Incarnation incarnation);

  // One query on a connection of its own, within `patience`: from a size of 2 on one connection is kept for it and
  // never lent. Where there is only one, it waits its turn, and a connection lent all the time counts as an answer
  // (its calls are watched anyway). `more`: asked on the same connection, within the same patience, where a user was
  // told what may be the whole database's matter. Worker thread.
  using Check = std::function<std::optional<Fault>(Connection&)>;
  std::optional<Fault> probe(Patience& patience, const Check& more = {});

  // No more leases; waits for those lent until patience ends, then cuts them; everything closed. Idempotent.
  void close(Patience& patience);

  // Any thread. Waits at most until `deadline`.
  Result<Lease, LeaseError> lease(TimePoint deadline);

  // What a user of a connection was told by the server; counted by kind, an SQLSTATE we do not know as `unknown`. A
  // standby (25006), a server on its way down or a session that is not ours any more is the level's fault; a full disk is
  // alarmed until something was stored again; a right or a table that is missing is looked into by the next probe;
  // anything else is the matter of that one connection. Any thread.
  void report(const SqlError& error);
  // Our own statement does not work there, which was proven: the level's fault. Any thread.
  void broken(const SqlError& error);
  void stored() noexcept;  // something was written: the disk has room
  // Nothing of an attempt to write was stored, for this: alarmed when that has been so for long. Any thread.
  void not_stored(const SqlError& error);

  // Replaces every connection, one at a time, while the others serve. How many there are; 0: it is not open.
  int reconnect();

  // The fault it reported, until close and open: what ended it. Any thread.
  std::optional<Fault> fault() const;

  // One line when there are fewer connections than wanted, and why. Any thread.
  std::optional<std::string> degraded() const;

  struct Counts { int open; int idle; int wanted; };
  Counts counts() const;

  // The latest thing that went wrong, also when all is well again. Any thread.
  struct LastError {
    std::string text;
    WallTime at;
  };
  std::optional<LastError> last_error() const;
  void remember(const std::string& error);  // one that the pool itself did not see

 private:
  friend class Lease;
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::db
