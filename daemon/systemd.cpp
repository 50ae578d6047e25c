#include "daemon/systemd.hpp"

#include <systemd/sd-daemon.h>

#include <cstdint>
#include <utility>

namespace ratchet {

namespace {

constexpr Duration kStatusEvery = std::chrono::seconds(1);

std::string extend(Duration by) {
  return "EXTEND_TIMEOUT_USEC=" + std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(by).count());
}

}  // namespace

Systemd::Systemd() : Systemd(Parts{}) {}

Systemd::Systemd(Parts parts) : parts_(std::move(parts)) {
  if (!parts_.send) parts_.send = [](const std::string& message) { sd_notify(0, message.c_str()); };
}

void Systemd::turn(const Status& status, TimePoint now) {
  if (!std::exchange(ready_, true)) parts_.send("READY=1");
  tell_stopping(status);
  tell_status(status, now);
  feed_watchdog(now);
}

void Systemd::tell_status(const Status& status, TimePoint now) {
  if (status_at_ && now - *status_at_ < kStatusEvery) return;
  std::string line = headline(status, now);
  if (status.doing == Doing::serving && parts_.suffix)
    if (const std::string suffix = parts_.suffix(); !suffix.empty()) line += ", " + suffix;
  if (line == status_told_) return;
  parts_.send("STATUS=" + line);
  status_told_ = std::move(line);
  status_at_ = now;
}

// systemd adds the time to now, or leaves the unit's own limit if that is later.
void Systemd::tell_stopping(const Status& status) {
  if (status.doing != Doing::stopping) return;
  const unsigned progress = progress_.load(std::memory_order_relaxed);
  const bool first = !std::exchange(stopping_, true);
  if (first) parts_.send("STOPPING=1");
  if (first || progress != progress_told_ || status.held != held_told_) parts_.send(extend(parts_.extend_by));
  progress_told_ = progress;
  held_told_ = status.held;
}

void Systemd::feed_watchdog(TimePoint now) {
  if (!parts_.watchdog) return;
  if (watchdog_at_ && now - *watchdog_at_ < *parts_.watchdog / 2) return;
  if (parts_.alive && !parts_.alive()) return;
  parts_.send("WATCHDOG=1");
  watchdog_at_ = now;
}

std::optional<Duration> Systemd::watchdog_from_environment() {
  std::uint64_t us = 0;
  if (sd_watchdog_enabled(0, &us) <= 0) return std::nullopt;
  return std::chrono::microseconds(us);
}

}  // namespace ratchet
