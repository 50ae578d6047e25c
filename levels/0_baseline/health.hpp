// /live, /ready and /health, on the service port and on the ops port: answered by the reactor thread itself,
// outside limits and access log. Load balancers poll them; HAProxy tells in each probe what it thinks of us
// (http-check send-state), and this is where that is read, for the drain.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "levels/0_baseline/reactor.hpp"
#include "levels/0_baseline/status_board.hpp"

namespace ratchet {

class Health {
 public:
  Health(const StatusBoard& board, const TimeSource& time, int drain_code);

  // Answers if the path is one of the three; false: not ours. Reactor thread.
  bool serve(http::Reactor& reactor, const http::Request& request);

  // From now on /ready says the drain code, whatever the board says. Any thread.
  void set_draining(bool draining) noexcept;

  // What the balancers let us know by their probes of /ready (or /health). Any thread.
  struct Balancers {
    std::size_t nodes = 0;              // (node, name) pairs that sent x-haproxy-server-state in the last 3 periods
    bool all_stopped = false;           // each of them said NOLB or DOWN (or weight 0) ...
    bool all_idle = false;              // ... with scur=0
    std::optional<TimePoint> last_probe;
    std::optional<Duration> interval;   // observed between probes
  };
  Balancers balancers() const;

  // Seconds a client should wait: until the true next attempt, with jitter; 30 under a hold; at least 1.
  int retry_after(const Status& status, TimePoint now) const;

 private:
  struct Node;
  void note_probe(const http::Request& request);
  const StatusBoard& board_;
  const TimeSource& time_;
  const int drain_code_;
  std::atomic<bool> draining_{false};
  mutable std::mutex mutex_;
  struct Seen { bool stopped; bool idle; TimePoint at; Duration interval; };
  std::map<std::string, Seen> nodes_;
  std::optional<TimePoint> last_probe_;
  std::optional<Duration> interval_;
};

}  // namespace ratchet
