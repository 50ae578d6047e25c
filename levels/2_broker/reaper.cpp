#include "levels/2_broker/reaper.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "levels/0_baseline/thread.hpp"

namespace ratchet::kafka {
namespace {

constexpr auto kLastWait = std::chrono::milliseconds(500);  // a stop may have used all its budget by now
constexpr std::string_view kAlarm = "broker.reaper";

}  // namespace

// Owned by the Reaper and by its thread, because the thread may outlive the Reaper.
struct Reaper::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> waiting;
  int pending = 0;       // waiting, or under way
  bool running = false;  // the thread has been started
  bool closed = false;
  Log* log;            // null once the Reaper is gone
  AlarmBoard* alarms;  // likewise

  Shared(Log& l, AlarmBoard& a) : log(&l), alarms(&a) {}

  // With the mutex held: the Reaper's destructor takes it too before what the pointers name may go.
  void show() {
    if (alarms == nullptr) return;
    if (pending >= kMost) {
      alarms->set(kAlarm, std::to_string(pending) + " old producers are still being destroyed",
                  "Is a name server answering slowly? No new producer is made until one of them is gone.");
    } else {
      alarms->clear(kAlarm);
    }
  }

  static void run(const std::shared_ptr<Shared>& self) {
    std::unique_lock lock(self->mutex);
    for (;;) {
      self->changed.wait(lock, [&] { return self->closed || !self->waiting.empty(); });
      if (self->waiting.empty()) return;
      std::function<void()> destroy = std::move(self->waiting.front());
      self->waiting.pop_front();
      lock.unlock();
      destroy();
      destroy = nullptr;
      lock.lock();
      --self->pending;
      self->show();
      self->changed.notify_all();
    }
  }
};

Reaper::Reaper(Log& log, AlarmBoard& alarms) : shared_(std::make_shared<Shared>(log, alarms)) {}

Reaper::~Reaper() {
  std::unique_lock lock(shared_->mutex);
  shared_->closed = true;
  shared_->changed.notify_all();
  bool done = shared_->changed.wait_for(lock, kLastWait, [&] { return shared_->pending == 0; });
  if (!done) {
    shared_->log->warning("producers left to the end of the process", {{"pending", std::to_string(shared_->pending)}});
  }
  shared_->log = nullptr;
  shared_->alarms = nullptr;
}

std::optional<std::string> Reaper::ready() {
  std::lock_guard lock(shared_->mutex);
  if (shared_->running) return std::nullopt;
  std::thread thread;
  if (auto none = start_thread(thread, "reaper", [shared = shared_] { Shared::run(shared); })) {
    return "no thread for the reaper: " + *none;
  }
  thread.detach();
  shared_->running = true;
  return std::nullopt;
}

void Reaper::take(std::function<void()> destroy) {
  std::lock_guard lock(shared_->mutex);
  shared_->waiting.push_back(std::move(destroy));
  ++shared_->pending;
  shared_->show();
  shared_->changed.notify_all();
}

bool Reaper::full() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->pending >= kMost;
}

}  // namespace ratchet::kafka
