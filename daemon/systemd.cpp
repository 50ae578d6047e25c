#include "daemon/systemd.hpp"

#include <systemd/sd-daemon.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace ratchet {

namespace {

constexpr Duration kStatusEvery = std::chrono::seconds(1);
constexpr std::uint64_t kPatienceUs = 500'000;  // for systemd to read about a socket

std::string extend(Duration by) {
  return "EXTEND_TIMEOUT_USEC=" + std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(by).count());
}

std::string named(const char* what) {
  return std::string(what) + "=1\nFDNAME=" + std::string(service::KeptPort::kName);
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

// ---- the fd store --------------------------------------------------------------------------------------------------

FdStore::FdStore(Log& log) : log_(log), exists_(std::getenv("NOTIFY_SOCKET") != nullptr) {}

void FdStore::store(int fd) {
  if (!exists_) return;
  const int sent = sd_pid_notify_with_fds(0, 0, named("FDSTORE").c_str(), &fd, 1);
  if (sent < 0)
    log_.warning("the port was not stored: a restart will refuse clients", {{"reason", std::strerror(-sent)}});
  wait_until_read();
}

void FdStore::remove() {
  if (!exists_) return;
  const int sent = sd_notify(0, named("FDSTOREREMOVE").c_str());
  if (sent < 0) log_.warning("the stored port was not removed", {{"reason", std::strerror(-sent)}});
  wait_until_read();
}

void FdStore::wait_until_read() {
  if (const int read = sd_notify_barrier(0, kPatienceUs); read < 0)
    log_.warning("systemd does not read what it is told", {{"reason", std::strerror(-read)}});
}

std::vector<service::KeptPort::Inherited> inherited_sockets(Log& log) {
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(1, &names);
  if (count < 0) log.warning("cannot read the inherited sockets", {{"reason", std::strerror(-count)}});
  std::vector<service::KeptPort::Inherited> all;
  for (int i = 0; i < count; ++i) {
    const char* name = names != nullptr ? names[i] : "";
    all.push_back({SD_LISTEN_FDS_START + i, name});
    std::free(names != nullptr ? names[i] : nullptr);
  }
  std::free(names);
  return all;
}

}  // namespace ratchet
