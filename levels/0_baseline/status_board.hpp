// Where the control thread hangs its latest snapshot, and everybody reads it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "levels/core/status.hpp"

namespace ratchet {

class StatusBoard {
 public:
  void publish(std::shared_ptr<const Status> status) {
    ready_.store(status->ready, std::memory_order_release);
    std::lock_guard lock(mutex_);
    status_ = std::move(status);
  }
  std::shared_ptr<const Status> read() const {  // never null after the first publish
    std::lock_guard lock(mutex_);
    return status_;
  }
  bool ready() const noexcept { return ready_.load(std::memory_order_acquire); }

  // The control loop says that it still turns; /live and the watchdog ask when it last did.
  void tick(TimePoint now) noexcept { ticked_.store(now.time_since_epoch().count(), std::memory_order_release); }
  TimePoint ticked() const noexcept { return TimePoint(Duration(ticked_.load(std::memory_order_acquire))); }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Status> status_;
  std::atomic<bool> ready_{false};
  std::atomic<Duration::rep> ticked_{0};
};

}  // namespace ratchet
