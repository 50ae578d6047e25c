// The listening socket and whoever else holds it. At level 3 the service manager (systemd's fd store) always has a
// descriptor of it, too, because a crash cannot ask for that: the next process finds the port open, with its queue.
//
//   way                        what becomes of the stored descriptor
//   -------------------------  ---------------------------------------------------------------------
//   restart (expect_restart)   stays; clients wait in the queue for the successor
//   crash                      stays; the successor takes it, or refuses by the rule below
//   stop, hold, fall by fault  removed before the port is closed: nothing is left listening
//   reset of level 3           stays; the same socket is served again
//
// An open port that nobody accepts from looks alive to a balancer that only connects. So what was inherited is held for
// at most `hold` without level 3; then whoever waits is told 503, and the port is closed like any other.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "levels/0_baseline/listener.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/0_baseline/reactor.hpp"
#include "levels/core/clock.hpp"
#include "levels/core/patience.hpp"

namespace ratchet::service {

// The fd store. What it is given it has when the call returns, or will never have; it says nothing about which. Any
// thread, one at a time.
class PortStore {
 public:
  virtual ~PortStore() = default;
  virtual bool exists() const noexcept = 0;
  virtual void store(int fd) = 0;  // a duplicate is kept; the same socket twice is one
  virtual void remove() = 0;       // all that was stored
};

class KeptPort {
 public:
  static constexpr std::string_view kName = "http";

  struct Inherited {
    int fd = -1;
    std::string name;
  };
  struct Parts {
    ListenAddress listen;
    Duration hold;
    HttpLimits limits;
    PortStore& store;
    std::function<bool()> exiting;         // the process is on its way to its end. Any thread
    std::function<std::string()> refusal;  // the whole answer for who waited in vain
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
  };
  // Takes what was inherited: what does not listen on our address is closed and taken out of the store.
  KeptPort(Parts parts, const std::vector<Inherited>& inherited);
  ~KeptPort();
  KeptPort(const KeptPort&) = delete;
  KeptPort& operator=(const KeptPort&) = delete;

  // Level 3's worker. The socket, stored, and from now on not to be refused: what was inherited, or the one that is
  // kept already, or a new one. The descriptor returned is the caller's own.
  Result<int> open();
  Result<Nothing> open_on(http::Reactor& reactor);
  void forget();  // closing the port: out of the store, ours is closed; nothing after leave()
  void leave();   // the restart: ours is closed, the stored one stays
  bool survived() const noexcept { return survived_; }  // open since the last process: who queued there is to be served
  bool is_restart() const;  // this way out is one: it was announced lately, there is a store, and the process exits

  // Any thread: the stop that follows within 10 s is half of a restart.
  void expect_restart() noexcept;

  // Control thread, at each turn of its loop.
  void turn(TimePoint now);

 private:
  class Refuser;
  void refuse();

  Parts parts_;
  const TimePoint since_;
  std::atomic<Duration::rep> restart_expected_;
  std::atomic<bool> survived_{false};
  mutable std::mutex mutex_;
  // guarded by mutex_
  http::Listener ours_;
  bool inherited_ = false;  // ours_, and not taken yet
  bool left_ = false;
  std::unique_ptr<Refuser> refuser_;
};

}  // namespace ratchet::service
