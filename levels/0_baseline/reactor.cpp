#include "levels/0_baseline/reactor.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <system_error>

#include "levels/0_baseline/reactor_inside.hpp"

namespace ratchet::http {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostTasks = 65536;
constexpr int kAcceptsPerTurn = 256;
constexpr milliseconds kAcceptPause{100};
constexpr milliseconds kSweep{50};             // a closing port takes finished handshakes at least so long ...
constexpr milliseconds kLongestSweep{2000};    // ... and at most so long, if its queue never gets empty
constexpr milliseconds kSweepTurn{10};
constexpr milliseconds kLongestTurn{1000};     // the watchdog looks at turned()
constexpr milliseconds kLinger{30'000};        // a client may send so long after its last answer ...
constexpr milliseconds kLingerQuiet{5000};     // ... and be silent so long
constexpr milliseconds kLingerLeaving{1000};
constexpr Refusal kSlowBody{408, "slow-body", "the body did not arrive in time"};
constexpr const char* kOutOfFiles = "out-of-files";
constexpr const char* kOutOfMemory = "out-of-memory";

}  // namespace

Reactor::Inside::Inside(Reactor& self, Options options, Service& service, const TimeSource& time, Log& log, Metrics& metrics)
    : self_(self),
      options_(std::move(options)),
      service_(service),
      time_(time),
      log_(log),
      metrics_(metrics),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      turned_(time.now().time_since_epoch().count()),
      now_(time.now()),
      budget_(options_.limits.buffer_bytes),
      table_(most_connections(options_.limits.connections), budget_),
      quiet_wait_(options_.limits.header_wait),
      reserve_wait_(options_.limits.header_wait),
      head_wait_(options_.limits.header_wait),
      body_wait_(options_.limits.body_wait),
      request_wait_(options_.limits.request),
      idle_wait_(options_.limits.idle),
      write_wait_(options_.limits.body_wait),
      linger_(kLinger),
      linger_leaving_(kLingerLeaving),
      linger_quiet_(kLingerQuiet) {
  for (const char* reason : {kOutOfFiles, kOutOfMemory})  // made while there are some
    rejected_.emplace_back(reason, metrics.rejected(reason));
  const auto fail = [this] {  // the destructor does not run
    const int error = errno;
    if (epoll_ >= 0) ::close(epoll_);
    if (wake_ >= 0) ::close(wake_);
    throw std::system_error(error, std::generic_category(), "reactor");
  };
  if (epoll_ < 0 || wake_ < 0) fail();
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // each write is one event; what it adds up to is never read
  event.data.u64 = kWakeTag;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) != 0) fail();
  writer_.set_time(time_.wall());
}

Reactor::Inside::~Inside() {
  stop();
  ::close(epoll_);
  ::close(wake_);
}

void Reactor::Inside::start() {
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), options_.name.substr(0, 15).c_str());
}

void Reactor::Inside::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  wake();
  if (thread_.joinable()) thread_.join();
}

Result<Nothing> Reactor::Inside::install(Result<Listener> listener) {
  if (!listener) return std::move(listener).error();
  if (port_open_.exchange(true)) {
    Fault fault;
    fault.kind = FaultKind::address_in_use;
    fault.text = options_.name + ": listens already";
    fault.since = time_.now();
    return fault;
  }
  port_ = listener->port();
  auto shared = std::make_shared<Listener>(*std::move(listener));  // a task must be copyable
  const bool taken = post([this, shared](Reactor&) {
    listener_ = std::move(*shared);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kListenerTag;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_.fd(), &event) != 0) pause_accepting(errno);
  });
  if (taken) return Nothing{};
  port_open_ = false;
  Fault fault;
  fault.kind = FaultKind::cancelled;
  fault.text = options_.name + ": has stopped";
  fault.since = time_.now();
  return fault;
}

bool Reactor::Inside::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_ || tasks_.size() >= kMostTasks) return false;
    tasks_.push_back(std::move(task));
  }
  wake();
  return true;
}

// The way out must not fail for want of room, and there are few of these: no bound.
void Reactor::Inside::command(void (Inside::*what)()) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    tasks_.emplace_back([this, what](Reactor&) { (this->*what)(); });
  }
  wake();
}

void Reactor::Inside::refuse_all(std::string answer) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    tasks_.emplace_back([this, bytes = std::move(answer)](Reactor&) { refusing_ = bytes; });
  }
  wake();
}

void Reactor::Inside::wake() {
  if (woken_.exchange(true)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);  // cannot block before 2^64 - 1
}

// ---- the loop ------------------------------------------------------------------------------------------------------

void Reactor::Inside::run() {
  std::array<epoll_event, 64> events;  // few, so that what other threads have posted need not wait for many
  bool stopping = false;
  while (!stopping) {
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_ms());
    now_ = time_.now();
    turned_.store(now_.time_since_epoch().count(), std::memory_order_relaxed);
    writer_.set_time(time_.wall());
    for (int i = 0; i < count; ++i) handle(events[static_cast<std::size_t>(i)]);
    stopping = !run_tasks();
    resume();
    expire();
    mind_port();
    counts_.held.store(budget_.used(), std::memory_order_relaxed);
    if (std::exchange(served_, false)) service_.turn_ended(self_);
  }
  cut();
}

int Reactor::Inside::timeout_ms() const {
  if (!to_resume_.empty()) return 0;
  const TimePoint now = time_.now();
  TimePoint next = now + kLongestTurn;
  for (const DeadlineList* list : {&quiet_wait_, &reserve_wait_, &head_wait_, &body_wait_, &request_wait_, &idle_wait_,
                                   &write_wait_, &linger_, &linger_leaving_, &linger_quiet_}) {
    next = std::min(next, list->next());
  }
  if (closing_since_) next = std::min(next, now + kSweepTurn);
  if (paused_until_) next = std::min(next, *paused_until_);
  if (next <= now) return 0;
  return static_cast<int>(std::chrono::ceil<milliseconds>(next - now).count());
}

void Reactor::Inside::handle(const epoll_event& event) {
  const std::uint64_t tag = event.data.u64;
  if (tag == kWakeTag) return;
  if (tag == kListenerTag) {
    try {
      return accept_some();
    } catch (const std::bad_alloc&) {
      return count_rejected(kOutOfMemory);
    }
  }
  Connection* const c = table_.of_generation(static_cast<std::uint32_t>(tag), static_cast<std::uint32_t>(tag >> 32));
  if (c != nullptr) at_its_cost(*c, [&] { ready(*c, event.events); });
}

void Reactor::Inside::out_of_memory(std::uint32_t index, std::uint32_t generation) {
  pumping_ = nullptr;
  count_rejected(kOutOfMemory);
  Connection* const c = table_.of_generation(index, generation);
  if (c == nullptr) return;
  if (c->counted_busy) add(counts_.cut, 1);  // the service is not told: that may want memory, too
  drop(*c);
}

bool Reactor::Inside::run_tasks() {
  if (!woken_.exchange(false)) return true;
  std::vector<Task> tasks;
  bool stopped = false;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
    stopped = stopped_;
  }
  for (const Task& task : tasks) {
    try {
      task(self_);
    } catch (const std::bad_alloc&) {  // whom it would have answered is answered at the deadline
      count_rejected(kOutOfMemory);
    }
  }
  return !stopped;
}

void Reactor::Inside::resume() {
  if (to_resume_.empty()) return;
  const auto waiting = std::exchange(to_resume_, {});
  for (const auto& [index, generation] : waiting) {
    Connection* const c = table_.of_generation(index, generation);
    if (c == nullptr) continue;
    c->to_resume = false;
    at_its_cost(*c, [&] { pump(*c); });
  }
}

void Reactor::Inside::expire() {
  const auto each = [this](DeadlineList& list, auto&& what) {
    while (DeadlineHook* const hook = list.expired(now_)) {
      Connection& c = table_.at(hook->owner);
      at_its_cost(c, [&] { what(c); });
    }
  };
  each(quiet_wait_, [this](Connection& c) { drop(c); });
  each(reserve_wait_, [this](Connection& c) { refuse(c, *c.kept_out); });
  each(head_wait_, [this](Connection& c) {
    if (!c.begun || c.awaits_proxy) drop(c);
    else refuse(c, {408, "slow-header", "the header did not arrive in time"});
  });
  each(body_wait_, [this](Connection& c) { refuse(c, kSlowBody); });
  each(request_wait_, [this](Connection& c) {
    if (c.state == State::reading) return refuse(c, kSlowBody);
    const Ticket ticket{c.index, c.exchange};
    service_.expired(self_, ticket);
    // Not answered: it will be asked again, so that no request is forgotten.
    if (is_waiting(ticket)) request_wait_.start(c.request, now_);
  });
  each(idle_wait_, [this](Connection& c) { drop(c); });
  each(write_wait_, [this](Connection& c) { drop_unanswered(c); });
  for (DeadlineList* const list : {&linger_, &linger_leaving_, &linger_quiet_})
    each(*list, [this](Connection& c) { drop(c); });
}

// ---- the port ------------------------------------------------------------------------------------------------------

void Reactor::Inside::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn && listener_.is_open(); ++i) {
    const Listener::Accepted accepted = listener_.accept();
    if (accepted.fd >= 0) {
      welcome(accepted);
    } else if (errno == EAGAIN) {
      return;
    } else if (is_out_of_files(errno)) {
      return pause_accepting(errno);
    }  // else that one connection failed before it was ours
  }
}

void Reactor::Inside::pause_accepting(int error) {
  count_rejected(kOutOfFiles);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_.fd(), nullptr);
  paused_until_ = now_ + kAcceptPause;
  log_.warning("cannot accept connections", {{"port", std::to_string(port())}, {"error", std::generic_category().message(error)}});
  service_.accept_failed(self_, error);
}

void Reactor::Inside::mind_port() {
  if (paused_until_ && now_ >= *paused_until_ && listener_.is_open()) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kListenerTag;
    paused_until_.reset();
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_.fd(), &event) != 0) pause_accepting(errno);
  }
  if (!closing_since_ || now_ - *closing_since_ < kSweep) return;
  const std::uint64_t before = counts_.accepted.load(std::memory_order_relaxed);
  accept_some();
  const bool empty = counts_.accepted.load(std::memory_order_relaxed) == before && !paused_until_;
  if (empty || now_ - *closing_since_ >= kLongestSweep) shut_port();
}

void Reactor::Inside::close_port() {
  if (!listener_.is_open() || closing_since_) return;
  listener_.stop_handshakes();
  closing_since_ = now_;
}

void Reactor::Inside::leave_port() {
  if (!listener_.is_open() || closing_since_) return;
  if (!paused_until_) accept_some();
  shut_port();
}

void Reactor::Inside::shut_port() {
  if (listener_.is_open()) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_.fd(), nullptr);  // closing alone would not while others hold the socket
    listener_.close();
  }
  closing_since_.reset();
  paused_until_.reset();
  port_open_ = false;
}

// ---- the way out ---------------------------------------------------------------------------------------------------

void Reactor::Inside::finish_idle() {
  announced_ = finishing_ = true;
  hurry_lingering();
  table_.for_each([this](Connection& c) {
    if (c.state != State::reading) return;
    c.readable = true;  // a request may have arrived in this very moment: look before closing
    want_resume(c);
  });
}

void Reactor::Inside::cut() {
  shut_port();
  table_.for_each([this](Connection& c) {
    at_its_cost(c, [&] { c.state == State::lingering ? drop(c) : drop_unanswered(c); });
  });
}

// ---- outside -------------------------------------------------------------------------------------------------------

Reactor::Reactor(Options options, Service& service, const TimeSource& time, Log& log, Metrics& metrics)
    : inside_(std::make_unique<Inside>(*this, std::move(options), service, time, log, metrics)) {
  inside_->start();
}
Reactor::~Reactor() { inside_->stop(); }

Result<Nothing> Reactor::listen(const ListenAddress& address) { return inside_->listen(address); }
Result<Nothing> Reactor::adopt(int listening_fd) { return inside_->adopt(listening_fd); }
std::uint16_t Reactor::port() const noexcept { return inside_->port(); }
void Reactor::announce_close() { inside_->command(&Inside::announce_close); }
void Reactor::close_port() { inside_->command(&Inside::close_port); }
void Reactor::leave_port() { inside_->command(&Inside::leave_port); }
bool Reactor::port_closed() const noexcept { return inside_->port_closed(); }
void Reactor::refuse_all(std::string answer) { inside_->refuse_all(std::move(answer)); }
void Reactor::finish_idle() { inside_->command(&Inside::finish_idle); }
void Reactor::cut() { inside_->command(&Inside::cut); }
bool Reactor::answer(Ticket ticket, const Answer& answer) { return inside_->answer(ticket, answer); }
bool Reactor::is_waiting(Ticket ticket) const noexcept { return inside_->is_waiting(ticket); }
std::optional<AddressText> Reactor::socket_peer(Ticket ticket) const noexcept { return inside_->socket_peer(ticket); }
void Reactor::abandon(Ticket ticket) { inside_->abandon(ticket); }
bool Reactor::post(std::function<void(Reactor&)> task) { return inside_->post(std::move(task)); }
const ReactorCounts& Reactor::counts() const noexcept { return inside_->counts(); }
TimePoint Reactor::turned() const noexcept { return inside_->turned(); }

}  // namespace ratchet::http
