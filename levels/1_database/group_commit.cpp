// One mutex guards the queue; a committer holds it only to take a whole batch. Life of an event: `filling_` (or
// `sealed_` when a batch had become full) -> taken by a committer -> begun -> outcome. Until it is taken nothing has
// been said to the server, so it can be withdrawn or end as nothing_stored with certainty; from then on only the
// server's answer decides, and no answer is outcome_unknown.
#include "levels/1_database/group_commit.hpp"

#include <pthread.h>

#include <poll.h>

#include <atomic>
#include <cassert>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "levels/0_baseline/thread.hpp"
#include "levels/1_database/batch.hpp"
#include "levels/1_database/commit_attempt.hpp"

namespace ratchet::db {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMostBatchBytes = std::size_t{4} << 20;  // one event more than this is a batch of its own
constexpr std::size_t kKeptBatches = 8;                        // for reuse
constexpr std::size_t kKeptCapacity = std::size_t{8} << 20;    // larger ones are given back to the system
constexpr int kRowBits = 16;
static_assert(Batch::kMostRows <= std::size_t{1} << kRowBits);

constexpr auto kLook = milliseconds(50);  // the longest wait for a lease without looking whether to stop
constexpr auto kIdleLook = seconds(1);    // how often an idle committer looks whether its connection still is

struct Work {
  std::uint64_t number = 0;
  std::size_t bytes = 0;  // counted against queue_bytes
  Batch batch;
  CommitOutcomes outcomes;
};

// Buffers and the count of bytes. Shared with the finished batches, which may outlive the rest.
class Store {
 public:
  std::unique_ptr<Work> fresh() {
    const std::lock_guard lock(mutex_);
    if (kept_.empty()) return std::make_unique<Work>();
    auto work = std::move(kept_.back());
    kept_.pop_back();
    return work;
  }
  void give_back(std::unique_ptr<Work> work) {
    bytes_ -= work->bytes;
    if (work->batch.capacity() > kKeptCapacity) return;
    work->bytes = 0;
    work->batch.clear();
    work->outcomes.clear();
    const std::lock_guard lock(mutex_);
    if (kept_.size() < kKeptBatches) kept_.push_back(std::move(work));
  }
  void count(std::size_t bytes) noexcept { bytes_ += bytes; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Work>> kept_;
  std::atomic<std::size_t> bytes_{0};
};

class Finished final : public FinishedBatch {
 public:
  Finished(std::shared_ptr<Store> store, std::unique_ptr<Work> work) noexcept
      : store_(std::move(store)), work_(std::move(work)) {}
  ~Finished() override { store_->give_back(std::move(work_)); }
  Finished(const Finished&) = delete;
  Finished& operator=(const Finished&) = delete;
  const std::vector<Outcome>& outcomes() const noexcept override { return work_->outcomes.list(); }

 private:
  std::shared_ptr<Store> store_;
  std::unique_ptr<Work> work_;
};

// While idle; what a live server says unasked is taken in.
bool still_there(Connection& connection) noexcept {
  if (connection.broken()) return false;
  pollfd look{connection.socket(), POLLIN | POLLRDHUP, 0};
  return ::poll(&look, 1, 0) <= 0 || connection.look();
}

std::vector<double> row_buckets() { return {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}; }
std::vector<double> second_buckets() {
  return {0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5};
}

}  // namespace

class GroupCommit::Inside {
 public:
  explicit Inside(Parts parts);
  ~Inside() { assert(!running_); }

  Result<Nothing> start(Patience& patience);
  void stop(Patience& patience, Leave leave);
  Result<std::uint64_t, AddError> add(const Event& event, std::uint64_t token);
  void wake() { work_there_.notify_one(); }
  bool accepts() const noexcept { return accepts_.load(std::memory_order_acquire); }
  bool withdraw(std::uint64_t place, std::uint64_t token);

  CommitSink* sink_ = nullptr;
  std::function<void()> committed_;

 private:
  enum class Mode : std::uint8_t {
    running,
    finishing,  // stop was asked: what is queued is still committed
    dropping,   // nothing more is begun
  };
  struct Committer {
    std::optional<Lease> lease;  // its own thread's, but for `cut` under the mutex
    Batch scratch;
    std::thread thread;
  };

  Fault fault_of(FaultKind kind, const std::string& text) const;
  Result<Lease> first_lease(Patience& patience);
  Labels pool_label() const { return {{"pool", pool_.settings().name}}; }
  std::optional<SqlError> prepare(Lease& lease);
  void run(Committer& me);
  std::unique_ptr<Work> next_work(Committer& me);
  bool connected(Committer& me);
  void take_lease(Committer& me);
  void drop_lease(Committer& me);
  void give_lease_home(Committer& me, const Patience* patience = nullptr);
  bool queue_empty() const noexcept { return sealed_.empty() && (!filling_ || filling_->batch.rows() == 0); }
  std::unique_ptr<Work> take();  // under the mutex; null when there is nothing
  void commit(Committer& me, std::unique_ptr<Work> work);
  void deliver(std::unique_ptr<Work> work);
  void end_queue_unstored();
  bool rest(Duration most);  // false: it is time to stop
  milliseconds call_patience() const { return pool_.settings().statement + milliseconds(250); }

  Pool& pool_;
  const TimeSource& time_;
  Log& log_;
  const std::size_t queue_bytes_;
  Histogram batch_rows_, commit_seconds_;
  Counter committed_total_, duplicates_total_;
  const std::shared_ptr<Store> store_ = std::make_shared<Store>();

  std::mutex mutex_;
  std::condition_variable work_there_;  // also: the mode has changed
  std::condition_variable thread_ended_;
  Mode mode_ = Mode::dropping;
  std::atomic<bool> accepts_{false};  // mode_ is running; for who has no time for the mutex
  bool running_ = false;
  int alive_ = 0;
  std::uint64_t next_number_ = 0;
  std::unique_ptr<Work> filling_;
  std::deque<std::unique_ptr<Work>> sealed_;  // full ones, in order, numbered without gaps; bounded by queue_bytes
  std::vector<std::unique_ptr<Committer>> committers_;
};

GroupCommit::Inside::Inside(Parts parts)
    : pool_(parts.pool),
      time_(parts.time),
      log_(parts.log),
      queue_bytes_(parts.queue_bytes),
      batch_rows_(
          parts.metrics.histogram("ratchet_commit_batch_rows", "Events per commit", pool_label(), row_buckets())),
      commit_seconds_(
          parts.metrics.histogram("ratchet_commit_seconds", "Time of one commit", pool_label(), second_buckets())),
      committed_total_(parts.metrics.counter("ratchet_committed_total", "Events committed", pool_label())),
      duplicates_total_(
          parts.metrics.counter("ratchet_duplicates_total", "Events that were known already", pool_label())) {
  assert(parts.committers >= 1);
  for (int i = 0; i < parts.committers; ++i)
    committers_.push_back(std::make_unique<Committer>());
  const auto gauge =
      parts.metrics.gauge("ratchet_commit_queue_bytes", "Bytes waiting for a commit or its answer", pool_label());
  parts.metrics.before_render([gauge, store = store_] { gauge.set(static_cast<double>(store->bytes())); });
}

// ---- any thread ----------------------------------------------------------------------------------------------------

Result<std::uint64_t, AddError> GroupCommit::Inside::add(const Event& event, std::uint64_t token) {
  const std::size_t bytes = Batch::bytes_of(event);
  const std::lock_guard lock(mutex_);
  if (mode_ != Mode::running) return AddError::not_connected;
  if (store_->bytes() + bytes > queue_bytes_) return AddError::queue_full;
  if (filling_ && (filling_->batch.rows() == Batch::kMostRows ||
                   (filling_->bytes + bytes > kMostBatchBytes && filling_->batch.rows() > 0))) {
    sealed_.push_back(std::move(filling_));
  }
  if (!filling_) {
    filling_ = store_->fresh();
    filling_->number = next_number_++;
  }
  const std::uint64_t place = filling_->number << kRowBits | filling_->batch.rows();
  filling_->batch.add(event, token);
  filling_->bytes += bytes;
  store_->count(bytes);
  return place;
}

bool GroupCommit::Inside::withdraw(std::uint64_t place, std::uint64_t token) {
  const std::uint64_t number = place >> kRowBits;
  const std::size_t row = place & ((std::uint64_t{1} << kRowBits) - 1);
  const std::lock_guard lock(mutex_);
  if (filling_ && filling_->number == number) return filling_->batch.withdraw(row, token);
  if (sealed_.empty() || number < sealed_.front()->number) return false;
  const std::uint64_t index = number - sealed_.front()->number;
  return index < sealed_.size() && sealed_[index]->batch.withdraw(row, token);
}

// ---- level 1's worker
// ------------------------------------------------------------------------------------------------

Result<Lease> GroupCommit::Inside::first_lease(Patience& patience) {
  for (;;) {
    const auto now = time_.now();
    auto lease = pool_.lease(patience.nap(now));
    if (lease) return std::move(*lease);
    if (lease.error() == LeaseError::not_connected || patience.over(time_.now())) {
      if (auto lost = pool_.fault()) return *std::move(lost);
      return fault_of(FaultKind::timed_out, "no connection for the committer");
    }
  }
}

Result<Nothing> GroupCommit::Inside::start(Patience& patience) {
  assert(!running_ && sink_ != nullptr);
  for (auto& committer : committers_) {
    auto lease = first_lease(patience);
    std::optional<Fault> fault;
    if (!lease) {
      fault = lease.error();
    } else {
      lease->allow_until(patience.deadline());
      lease->bound_by(&patience);
      if (const auto error = prepare(*lease)) fault = fault_of(fault_kind(*error), "committer: " + error->text);
      lease->bound_by(nullptr);
    }
    if (fault) {
      for (auto& other : committers_)
        give_lease_home(*other, &patience);
      return *std::move(fault);
    }
    committer->lease.emplace(std::move(*lease));
  }
  {
    const std::lock_guard lock(mutex_);
    running_ = true;
    mode_ = Mode::running;
    accepts_ = true;
    alive_ = 0;
  }
  for (auto& committer : committers_) {
    if (auto none = start_thread(committer->thread, "committer", [this, &me = *committer] { run(me); })) {
      Patience over(time_.now());
      stop(over, Leave::fault);
      return fault_of(FaultKind::out_of_files, "no thread for the committer: " + *none);
    }
    const std::lock_guard lock(mutex_);
    ++alive_;
  }
  return Nothing{};
}

Fault GroupCommit::Inside::fault_of(FaultKind kind, const std::string& text) const {
  return Fault{1, 0, kind, "database " + pool_.settings().name + ": " + text, time_.now()};
}

void GroupCommit::Inside::stop(Patience& patience, Leave leave) {
  if (!running_) return;
  {
    const std::lock_guard lock(mutex_);
    mode_ = leave == Leave::asked ? Mode::finishing : Mode::dropping;
    accepts_ = false;
  }
  work_there_.notify_all();
  if (leave == Leave::fault) end_queue_unstored();
  {
    std::unique_lock lock(mutex_);
    for (auto now = time_.now(); alive_ > 0 && !patience.over(now); now = time_.now()) {
      thread_ended_.wait_until(lock, patience.nap(now));
    }
    mode_ = Mode::dropping;
    for (auto& committer : committers_) {
      if (alive_ > 0 && committer->lease) (*committer->lease)->cut();
    }
  }
  work_there_.notify_all();
  end_queue_unstored();
  for (auto& committer : committers_) {
    if (committer->thread.joinable()) committer->thread.join();
  }
  for (auto& committer : committers_) {
    // Giving it back politely costs a round trip, which a frozen server never answers.
    if (committer->lease && (leave == Leave::fault || patience.over(time_.now()))) (*committer->lease)->cut();
    give_lease_home(*committer, &patience);
  }
  running_ = false;
}

// What was never begun gets its outcome here.
void GroupCommit::Inside::end_queue_unstored() {
  for (;;) {
    std::unique_ptr<Work> work;
    {
      const std::lock_guard lock(mutex_);
      work = take();
    }
    if (!work) return;
    Batch scratch;
    work->batch.drop_withdrawn(scratch);
    work->outcomes.begin(work->batch);
    work->outcomes.end();
    deliver(std::move(work));
  }
}

// ---- committer
// -------------------------------------------------------------------------------------------------------

void GroupCommit::Inside::run(Committer& me) {
  while (auto work = next_work(me))
    commit(me, std::move(work));
  const std::lock_guard lock(mutex_);
  --alive_;
  thread_ended_.notify_all();
}

std::unique_ptr<Work> GroupCommit::Inside::take() {
  if (!sealed_.empty()) {
    auto work = std::move(sealed_.front());
    sealed_.pop_front();
    return work;
  }
  return queue_empty() ? nullptr : std::move(filling_);
}

// The next batch, once there is one and a connection that is not known to be dead: an idle committer must not answer
// "unknown" for what it never sent. Null: the end.
std::unique_ptr<Work> GroupCommit::Inside::next_work(Committer& me) {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (mode_ == Mode::running && queue_empty()) {
        work_there_.wait_until(lock, time_.now() + kIdleLook,
                               [this] { return mode_ != Mode::running || !queue_empty(); });
      }
      if (mode_ == Mode::dropping || (mode_ == Mode::finishing && queue_empty())) return nullptr;
    }
    if (!connected(me)) {
      work_there_.notify_one();  // the call may have been for a committer that has a connection
      take_lease(me);
      continue;
    }
    const std::lock_guard lock(mutex_);
    if (mode_ == Mode::dropping) return nullptr;
    if (auto work = take()) return work;
  }
}

bool GroupCommit::Inside::connected(Committer& me) {
  if (!me.lease) return false;
  if (!still_there(**me.lease)) {
    pool_.report({SqlError::Kind::lost, "", (*me.lease)->loss()});
    drop_lease(me);
    return false;
  }
  if (me.lease->old()) {
    give_lease_home(me);
    return false;
  }
  return true;
}

bool GroupCommit::Inside::rest(Duration most) {
  std::unique_lock lock(mutex_);
  return !work_there_.wait_until(lock, time_.now() + most, [this] { return mode_ == Mode::dropping; });
}

void GroupCommit::Inside::take_lease(Committer& me) {
  auto lease = pool_.lease(time_.now() + kLook);
  if (!lease) {
    if (lease.error() == LeaseError::not_connected) rest(kLook);
    return;
  }
  {
    const std::lock_guard lock(mutex_);  // kept at once: `stop` cuts what hangs while it is prepared
    me.lease.emplace(std::move(*lease));
    if (mode_ == Mode::dropping) (*me.lease)->cut();
  }
  me.lease->allow_until(time_.now() + call_patience());
  const auto error = prepare(*me.lease);
  if (!error) return;
  drop_lease(me);
  if (!rest(Duration::zero())) return;
  log_.warning("the committer's connection is of no use", {{"pool", pool_.settings().name}, {"reason", error->text}});
  pool_.report(*error);
  rest(kLook);
}

// A connection that cannot be prepared is thrown away.
std::optional<SqlError> GroupCommit::Inside::prepare(Lease& lease) {
  std::optional<SqlError> error;
  if (auto set = lease->exec("set lock_timeout = '100ms'"); !set) error = set.error();
  if (!error) error = prepare_append(*lease);
  if (error) lease->cut();
  return error;
}

void GroupCommit::Inside::drop_lease(Committer& me) {
  const std::lock_guard lock(mutex_);
  me.lease.reset();
}

// As it was: the next holder waits for locks as long as he likes.
void GroupCommit::Inside::give_lease_home(Committer& me, const Patience* patience) {
  if (!me.lease) return;
  if (!(*me.lease)->broken()) {
    me.lease->allow_until(time_.now() + call_patience());
    me.lease->bound_by(patience);
    if (!(*me.lease)->restore("lock_timeout")) (*me.lease)->cut();
    me.lease->bound_by(nullptr);
  }
  drop_lease(me);
}

void GroupCommit::Inside::commit(Committer& me, std::unique_ptr<Work> work) {
  work->batch.drop_withdrawn(me.scratch);
  if (work->batch.rows() == 0) return store_->give_back(std::move(work));
  const auto started = time_.now();
  CommitAttempt attempt({*me.lease, time_, call_patience(), [this] {
                           const std::lock_guard lock(mutex_);
                           return mode_ == Mode::dropping;
                         }});
  attempt.store(work->batch, work->outcomes);
  commit_seconds_.observe(std::chrono::duration<double>(time_.now() - started).count());
  batch_rows_.observe(static_cast<double>(work->batch.rows()));
  const auto stored = work->outcomes.count(Committed::stored);
  const auto known = work->outcomes.count(Committed::duplicate) + work->outcomes.count(Committed::mismatch);
  committed_total_.add(static_cast<double>(stored));
  duplicates_total_.add(static_cast<double>(work->outcomes.count(Committed::duplicate)));
  const auto rows = work->batch.rows();
  deliver(std::move(work));
  if (stored > 0) {
    pool_.stored();
    if (committed_) committed_();
  }
  if (const auto& error = attempt.first_error()) {
    log_.warning(attempt.lost() ? "connection lost while committing" : "a batch was not taken as a whole",
                 {{"pool", pool_.settings().name},
                  {"events", std::to_string(rows)},
                  {"sqlstate", error->sqlstate},
                  {"reason", error->text}});
  }
  const auto& reason = attempt.environment() ? attempt.environment() : attempt.first_error();
  if (reason && rest(Duration::zero())) pool_.report(*reason);
  if (reason && stored + known == 0) pool_.not_stored(*reason);
  if (attempt.broken() && rest(Duration::zero())) pool_.broken(*attempt.broken());
  if (attempt.lost()) drop_lease(me);
}

void GroupCommit::Inside::deliver(std::unique_ptr<Work> work) {
  if (work->batch.rows() == 0) return store_->give_back(std::move(work));
  assert(work->outcomes.list().size() == work->batch.rows());
  sink_->finished(std::make_unique<Finished>(store_, std::move(work)));
}

// ---- the face
// --------------------------------------------------------------------------------------------------------

GroupCommit::GroupCommit(Parts parts) : inside_(std::make_unique<Inside>(parts)) {}
GroupCommit::~GroupCommit() = default;
void GroupCommit::set_sink(CommitSink* sink) noexcept { inside_->sink_ = sink; }
void GroupCommit::set_committed(std::function<void()> committed) { inside_->committed_ = std::move(committed); }
Result<Nothing> GroupCommit::start(Patience& patience) { return inside_->start(patience); }
void GroupCommit::stop(Patience& patience, Leave leave) { inside_->stop(patience, leave); }
Result<std::uint64_t, AddError> GroupCommit::add(const Event& event, std::uint64_t token) {
  return inside_->add(event, token);
}
bool GroupCommit::accepts() const noexcept { return inside_->accepts(); }
void GroupCommit::wake() { inside_->wake(); }
bool GroupCommit::withdraw(std::uint64_t place, std::uint64_t token) { return inside_->withdraw(place, token); }

}  // namespace ratchet::db
