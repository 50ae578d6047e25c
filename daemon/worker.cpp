#include "daemon/worker.hpp"

#include <pthread.h>

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

namespace ratchet {

namespace {

constexpr Duration kLongestNap = std::chrono::seconds(1);

}  // namespace

Worker::Worker(int number, Level& level, const TimeSource& time, Mailbox& mailbox)
    : number_(number), level_(level), time_(time), mailbox_(mailbox), ear_(std::make_shared<Ear>()), thread_([this] {
        run();
      }) {
  ear_->worker = this;
}

Worker::~Worker() {
  {
    std::lock_guard lock(ear_->mutex);
    ear_->worker = nullptr;
  }
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    if (calling_) calling_->shrink_to(time_.now());
  }
  changed_.notify_one();
  thread_.join();
}

void Worker::raise(Incarnation incarnation, TimePoint deadline) {
  give(Job{RaiseJob{incarnation}, std::make_shared<Patience>(deadline)});
}

void Worker::lower(std::unique_ptr<HeldLevel> held, Leave leave, TimePoint deadline) {
  give(Job{LowerJob{std::move(held), leave}, std::make_shared<Patience>(deadline)});
}

void Worker::give(Job job) {
  {
    std::lock_guard lock(mutex_);
    assert(!job_);
    job_ = std::move(job);
    watched_.reset();
    if (calling_) calling_->shrink_to(time_.now());  // a probe: nobody waits for its answer any more
  }
  changed_.notify_one();
}

void Worker::watch(HeldLevel& held, Incarnation incarnation) {
  held.on_doubt([ear = ear_] {
    std::lock_guard lock(ear->mutex);
    if (ear->worker != nullptr) ear->worker->probe_soon();
  });
  {
    std::lock_guard lock(mutex_);
    assert(!job_ && !calling_);
    watched_ = Watched{&held, Watch(number_, incarnation, level_.probe_plan(), time_.now())};
  }
  changed_.notify_one();
}

void Worker::probe_soon() {
  {
    std::lock_guard lock(mutex_);
    if (!watched_) return;
    watched_->watch.doubt(time_.now());
    nudged_ = true;
  }
  changed_.notify_one();
}

void Worker::hurry(Leave leave, TimePoint deadline) {
  std::lock_guard lock(mutex_);
  if (calling_) calling_->shrink_to(deadline);
  if (!job_) return;
  job_->patience->shrink_to(deadline);
  if (auto* lower = std::get_if<LowerJob>(&job_->what)) lower->leave = leave;
}

void Worker::nudge() {
  {
    std::lock_guard lock(mutex_);
    nudged_ = true;
  }
  changed_.notify_one();
}

std::optional<Workers::Call> Worker::call() const {
  std::lock_guard lock(mutex_);
  if (!calling_) return std::nullopt;
  return Workers::Call{verb_, std::max(calling_->deadline(), begun_)};
}

void Worker::run() {
  pthread_setname_np(pthread_self(), ("level-" + std::to_string(number_)).c_str());
  std::unique_lock lock(mutex_);
  while (!ending_) {
    const TimePoint now = time_.now();
    if (job_) {
      work(lock);
    } else if (watched_ && now >= watched_->watch.next()) {
      probe(lock);
    } else {
      const Duration nap = watched_ ? std::min(watched_->watch.next() - now, kLongestNap) : kLongestNap;
      changed_.wait_for(lock, nap, [this] { return ending_ || job_ || nudged_; });
      nudged_ = false;
    }
  }
}

void Worker::work(std::unique_lock<std::mutex>& lock) {
  Job job = std::move(*job_);
  job_.reset();
  begin(std::holds_alternative<RaiseJob>(job.what) ? "raise" : "drain", job.patience);
  lock.unlock();
  Completion completion = std::visit([&](auto& what) { return execute(what, *job.patience); }, job.what);
  lock.lock();
  end();
  lock.unlock();
  mailbox_.complete(number_, std::move(completion));  // from here on the next job may come
  lock.lock();
}

Completion Worker::execute(RaiseJob& job, Patience& patience) {
  return RaiseDone{job.incarnation, level_.raise(patience, job.incarnation)};
}

Completion Worker::execute(LowerJob& job, Patience& patience) {
  job.held->drain(patience, job.leave);
  job.held.reset();
  return LowerDone{};
}

void Worker::probe(std::unique_lock<std::mutex>& lock) {
  auto patience = std::make_shared<Patience>(time_.now() + watched_->watch.patience());
  HeldLevel& held = *watched_->held;
  watched_->watch.begun();
  begin("probe", patience);
  lock.unlock();
  std::optional<Fault> found = held.probe(*patience);
  lock.lock();
  end();
  if (!watched_) return;  // told to let go meanwhile
  const auto fault = watched_->watch.judge(std::move(found), time_.now());
  if (!fault) return;
  watched_.reset();
  lock.unlock();
  mailbox_.report(*fault);
  lock.lock();
}

void Worker::begin(std::string_view verb, std::shared_ptr<Patience> patience) {
  verb_ = verb;
  begun_ = time_.now();
  calling_ = std::move(patience);
}

void Worker::end() { calling_.reset(); }

}  // namespace ratchet
