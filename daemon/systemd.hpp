// What systemd is told, derived from the snapshot alone: READY=1 at level 0, STATUS= in people's words, WATCHDOG=1
// while the control loop turns, STOPPING=1, and more time to stop for as long as there is progress. Outside of
// systemd all of it is nothing.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "levels/0_baseline/log.hpp"
#include "levels/3_service/kept_port.hpp"
#include "levels/core/status.hpp"

namespace ratchet {

class Systemd {
 public:
  struct Parts {
    std::function<void(const std::string& message)> send;  // default: sd_notify
    std::optional<Duration> watchdog = watchdog_from_environment();
    std::function<bool()> alive;                    // beside the control loop: do the reactors turn? Empty: yes
    std::function<std::string()> suffix;            // of STATUS while serving: "41 req/s"; empty: none
    Duration extend_by = std::chrono::seconds(25);  // the longest stage of a stop, and some
  };
  Systemd();
  explicit Systemd(Parts parts);

  // Control thread, at each turn of its loop (at least each second).
  void turn(const Status& status, TimePoint now);

  // Stopping gets on (a stage of the drain ended). Any thread. A level let go is noticed without it.
  void progress() noexcept { progress_.fetch_add(1, std::memory_order_relaxed); }

  // WATCHDOG_USEC, if it is meant for this process.
  static std::optional<Duration> watchdog_from_environment();

 private:
  void tell_status(const Status& status, TimePoint now);
  void tell_stopping(const Status& status);
  void feed_watchdog(TimePoint now);

  Parts parts_;
  std::atomic<unsigned> progress_{0};
  // control thread only
  bool ready_ = false;
  bool stopping_ = false;
  unsigned progress_told_ = 0;
  int held_told_ = 0;
  std::string status_told_;
  std::optional<TimePoint> status_at_;
  std::optional<TimePoint> watchdog_at_;
};

// systemd's fd store. Outside of systemd there is none.
class FdStore final : public service::PortStore {
 public:
  explicit FdStore(Log& log);  // reads NOTIFY_SOCKET

  bool exists() const noexcept override { return exists_; }
  // Waits (500 ms at most) until systemd has read it: a process that dies right after still has its successor.
  void store(int fd) override;
  // The same: then systemd has let go of the socket, or is about to.
  void remove() override;

 private:
  void wait_until_read();

  Log& log_;
  const bool exists_;
};

// Once, before the first child is made: the variables are taken out of the environment.
std::vector<service::KeptPort::Inherited> inherited_sockets(Log& log);

}  // namespace ratchet
