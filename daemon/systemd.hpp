// What systemd is told, derived from the snapshot alone: READY=1 at level 0, STATUS= in people's words, WATCHDOG=1
// while the control loop turns, STOPPING=1, and more time to stop for as long as there is progress. Outside of
// systemd all of it is nothing.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>

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

}  // namespace ratchet
