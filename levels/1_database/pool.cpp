#include "levels/1_database/pool.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <system_error>

#include "levels/0_baseline/thread.hpp"
#include "levels/1_database/conninfo.hpp"
#include "levels/1_database/pool_inside.hpp"

namespace ratchet::db {
namespace {

constexpr std::string_view kAskRole =
    "select pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',"
    " current_setting('session_replication_role') = 'replica', pg_backend_pid()";
const std::vector<double> lease_buckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5};

std::string place_of(const std::string& dsn) {
  const auto parsed = Conninfo::parse(dsn);
  return parsed ? parsed->where() : std::string("unreadable DSN");
}

int new_event() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

double seconds_between(TimePoint from, TimePoint to) { return std::chrono::duration<double>(to - from).count(); }

std::string alarm_id(const std::string& pool) { return "pool." + pool + ".too-many"; }

}  // namespace

// ---- lease -------------------------------------------------------------------------------------------------------

Lease::Lease(Pool& pool, std::unique_ptr<Connection> connection) noexcept
    : pool_(&pool), connection_(std::move(connection)) {}
Lease::Lease(Lease&&) noexcept = default;
Lease::~Lease() {
  if (connection_) pool_->inside_->give_back(std::move(connection_));
}
void Lease::allow_until(TimePoint deadline) noexcept {
  connection_->allow_until(deadline);
  pool_->inside_->watch_until(deadline);
}
void Lease::bound_by(const Patience* patience) noexcept { pool_->inside_->bind(connection_.get(), patience); }

bool Lease::old() const noexcept { return pool_->inside_->old(connection_.get()); }

// ---- pool --------------------------------------------------------------------------------------------------------

Pool::Pool(PoolSettings settings, Parts parts)
    : inside_(std::make_unique<Inside>(std::move(settings), std::move(parts))) {}
Pool::~Pool() = default;
const PoolSettings& Pool::settings() const noexcept { return inside_->settings_; }
Result<Nothing> Pool::open(Patience& patience, Incarnation incarnation) { return inside_->open(patience, incarnation); }
std::optional<Fault> Pool::probe(Patience& patience, const Check& more) { return inside_->probe(patience, more); }
void Pool::close(Patience& patience) { inside_->close(patience); }
void Pool::report(const SqlError& error) { inside_->report(error); }
void Pool::broken(const SqlError& error) { inside_->broken(error); }
void Pool::stored() noexcept { inside_->stored(); }
void Pool::not_stored(const SqlError& error) { inside_->not_stored(error); }
int Pool::reconnect() { return inside_->reconnect(); }
std::optional<Pool::LastError> Pool::last_error() const { return inside_->last_error(); }
void Pool::remember(const std::string& error) { inside_->remember(error); }
std::optional<Fault> Pool::fault() const { return inside_->fault(); }
std::optional<std::string> Pool::degraded() const { return inside_->degraded(); }
Pool::Counts Pool::counts() const { return inside_->counts(); }
Result<Lease, LeaseError> Pool::lease(TimePoint deadline) {
  auto connection = inside_->lease(deadline);
  if (!connection) return connection.error();
  return Lease(*this, *std::move(connection));
}

// ---- inside ------------------------------------------------------------------------------------------------------

Pool::Inside::Inside(PoolSettings settings, Parts parts)
    : settings_(std::move(settings)),
      parts_(std::move(parts)),
      where_(place_of(settings_.dsn)),
      refill_(settings_.size),
      unfinished_(settings_.size, settings_.statement),
      event_(new_event()) {
  const Labels pool{{"pool", settings_.name}};
  const std::string count = "db_client_connection_count";
  const std::string help = "Connections of a pool that are open now";
  auto& metrics = parts_.metrics;
  idle_ = metrics.gauge(count, help, {{"pool", settings_.name}, {"state", "idle"}});
  used_ = metrics.gauge(count, help, {{"pool", settings_.name}, {"state", "used"}});
  most_ = metrics.gauge("db_client_connection_max", "Connections a pool may open", pool);
  pending_ = metrics.gauge("db_client_connection_pending_requests", "Who waits for a connection now", pool);
  timeouts_ = metrics.counter("db_client_connection_timeouts_total", "Waits for a connection that ended without", pool);
  create_seconds_ =
      metrics.histogram("db_client_connection_create_time_seconds", "Time to connect", pool, lease_buckets);
  wait_seconds_ =
      metrics.histogram("db_client_connection_wait_time_seconds", "Wait for a connection", pool, lease_buckets);
  left_ = metrics.gauge("ratchet_pool_unfinished_calls",
                        "Calls given up whose backends have not ended; they count against the pool's size", pool);
  most_.set(settings_.size);
}

Pool::Inside::~Inside() {
  Patience none(parts_.time.now());
  close(none);
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  opener_.notify_all();
  kick();
  if (opener_thread_.joinable()) opener_thread_.join();
  if (keeper_thread_.joinable()) keeper_thread_.join();
  ::close(event_);
}

Fault Pool::Inside::fault_of(FaultKind kind, const std::string& text) const {
  return {1, incarnation_, kind, "database " + settings_.name + ": " + text, parts_.time.now()};
}

// Not under the mutex. Faults come without the pool's name.
Result<std::unique_ptr<Connection>> Pool::Inside::connect(Patience& patience) {
  auto failed = [this](FaultKind kind, std::string text) {
    return Fault{1, 0, kind, std::move(text), parts_.time.now()};
  };
  auto conninfo = Conninfo::parse(settings_.dsn);
  if (!conninfo) return failed(FaultKind::unknown, "bad DSN: " + conninfo.error());
  if (settings_.password) {
    auto secret = settings_.password->read();  // each time: a changed password needs no restart
    if (!secret.error.empty()) return failed(FaultKind::authentication, "cannot read secret " + secret.error);
    conninfo->set("password", std::move(secret.text));
  }
  Connection::Plan plan;
  plan.conninfo = conninfo->text();
  plan.application_name = "ratchetd " + parts_.instance;
  plan.statement = settings_.statement;
  plan.resolver = &resolver_;
  plan.role = settings_.role;
  const TimePoint begun = parts_.time.now();
  auto connection = Connection::connect(plan, patience, parts_.time);
  if (connection) create_seconds_.observe(seconds_between(begun, parts_.time.now()));
  return connection;
}

// Not under the mutex; the connection's slot is on the list, so that the keeper cuts this call, too.
Result<Nothing> Pool::Inside::check_role(Connection& connection, TimePoint until, const Patience& patience) {
  connection.allow_until(until);
  bind(&connection, &patience);
  watch_until(until);
  const auto answer = connection.exec(kAskRole);
  bind(&connection, nullptr);
  const std::string place = " (" + connection.where() + ")";
  if (!answer) {
    return Fault{1, 0, fault_kind(answer.error()), answer.error().text + place, parts_.time.now()};
  }
  if (auto wrong = wrong_server(*answer)) {
    wrong->text += place;
    return *std::move(wrong);
  }
  connection.set_backend(static_cast<int>(answer->integer(0, 3)));
  return Nothing{};
}

// The text is without the pool's name and place.
std::optional<Fault> Pool::Inside::wrong_server(const Rows& answer) const {
  auto wrong = [this](FaultKind kind, std::string text) {
    return Fault{1, 0, kind, std::move(text), parts_.time.now()};
  };
  const bool standby = answer.boolean(0, 0);
  if (settings_.role == PoolRole::replica) {
    if (standby) return std::nullopt;
    return wrong(FaultKind::read_only, "the server is a primary, a replica is needed");
  }
  if (standby) return wrong(FaultKind::read_only, "the server is a standby, a primary is needed");
  if (answer.boolean(0, 1)) {
    return wrong(FaultKind::read_only, "the server is read-only (default_transaction_read_only), a primary is needed");
  }
  if (answer.boolean(0, 2)) {
    return wrong(FaultKind::wrong_setting, "session_replication_role is replica for this login: no trigger would fire");
  }
  return std::nullopt;
}

// Once; from then on they wait for work. Not at birth, where nobody could be told that there is no thread to be had.
Result<Nothing> Pool::Inside::start_threads() {
  std::optional<std::string> none;
  if (!keeper_thread_.joinable()) none = start_thread(keeper_thread_, "pool-keeper", [this] { keep(); });
  if (!none && !opener_thread_.joinable()) none = start_thread(opener_thread_, "pool-opener", [this] { open_more(); });
  if (!none) return Nothing{};
  return Fault{1, 0, FaultKind::out_of_files, "no thread for the pool: " + *none, parts_.time.now()};
}

Result<Nothing> Pool::Inside::open(Patience& patience, Incarnation incarnation) {
  std::uint64_t mine = 0;
  {
    std::lock_guard lock(mutex_);
    assert(phase_ == Phase::closed);
    incarnation_ = incarnation;
    mine = ++generation_;
  }
  auto failed = [this](FaultKind kind, const std::string& text) {
    Fault fault = fault_of(kind, text);
    remember(fault.text);
    return fault;
  };
  if (auto started = start_threads(); !started) return failed(started.error().kind, started.error().text);
  Connections first;
  auto fault = first_connections(patience, first);
  if (!fault && patience.over(parts_.time.now())) {
    fault = Fault{1, 0, FaultKind::cancelled, "patience was over", parts_.time.now()};
  }
  Lock lock(mutex_);
  assert(mine == generation_);
  if (!fault && std::any_of(slots_.begin(), slots_.end(), [](const auto& slot) { return slot->dead; })) {
    fault = Fault{1, 0, FaultKind::connection_lost, "a connection ended while the others were opened", TimePoint()};
  }
  if (fault) {
    for (const auto& connection : first)
      note_left(*connection);
    slots_.clear();
    show();
    lock.unlock();
    return failed(fault->kind, fault->text);
  }
  phase_ = Phase::open;
  doubt_ = false;
  lost_.reset();
  short_since_.reset();
  refill_.open();
  open_error_.clear();
  parts_.log.info("database pool open", {{"pool", settings_.name}, {"server", first.front()->where()}});
  for (auto& connection : first) {
    joined(std::move(connection));
    slow_start(TimePoint::min());
  }
  opener_.notify_all();
  kick();
  return Nothing{};
}

void Pool::Inside::close(Patience& patience) {
  std::vector<std::unique_ptr<Connection>>
      idle;  // destroyed after the mutex is let go: that says goodbye to the server
  Lock lock(mutex_);
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closing;
  ++generation_;
  refuse_waiters();
  if (opening_ != nullptr) opening_->shrink_to(parts_.time.now());
  auto let_go = [&](const std::unique_ptr<Slot>& slot) {
    if (slot->use == Use::joining) slot->connection->cut();
    if (slot->home) idle.push_back(std::move(slot->home));
    return slot->use == Use::joining || slot->use == Use::idle;
  };
  for (;;) {
    slots_.erase(std::remove_if(slots_.begin(), slots_.end(), let_go), slots_.end());
    const TimePoint now = parts_.time.now();
    if (slots_.empty() || patience.over(now)) break;
    came_home_.wait_until(lock, patience.nap(now));
  }
  for (const auto& slot : slots_)
    slot->connection->cut();
  const auto cut = slots_.size();
  slots_.clear();
  phase_ = Phase::closed;
  lost_.reset();
  show();
  lock.unlock();
  idle.clear();
  parts_.alarms.clear(alarm_id(settings_.name));
  stored();
  parts_.log.info("database pool closed", {{"pool", settings_.name}, {"cut", std::to_string(cut)}});
}

Result<std::unique_ptr<Connection>, LeaseError> Pool::Inside::lease(TimePoint deadline) {
  Lock lock(mutex_);
  if (phase_ != Phase::open) return LeaseError::not_connected;
  if (waiting_.empty() && !unfinished_.doubtful()) {
    if (Slot* slot = free_slot(false)) {
      wait_seconds_.observe(0);
      return take(*slot, Use::lent);
    }
  }
  const TimePoint begun = parts_.time.now();
  Waiter me;
  waiting_.push_back(&me);
  show();
  while (!me.given && !me.refused && parts_.time.now() < deadline)
    me.woken.wait_until(lock, deadline);
  waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), &me), waiting_.end());
  show();
  if (me.given) {
    wait_seconds_.observe(seconds_between(begun, parts_.time.now()));
    return std::move(me.given);
  }
  if (me.refused) return LeaseError::not_connected;
  timeouts_.add();
  return LeaseError::timed_out;
}

// What is not kept is destroyed with the argument, after the mutex is let go.
void Pool::Inside::give_back(std::unique_ptr<Connection> connection) noexcept {
  std::lock_guard lock(mutex_);
  note_left(*connection);
  Slot* slot = find(connection.get());
  if (slot == nullptr) return;  // of a pool closed meanwhile
  const bool broken = slot->dead || connection->broken();
  if (broken) {
    remove(connection.get(), connection->loss());
  } else if (connection->in_transaction()) {
    remove(connection.get(), "it came home inside a transaction");
  } else if (phase_ != Phase::open || may_retire(*slot, parts_.time.now())) {
    remove(connection.get(), {});
  } else {
    settle(*slot, std::move(connection));
  }
  came_home_.notify_all();
}

// One at a time, and never the last one: a full server might give us no other.
bool Pool::Inside::may_retire(const Slot& slot, TimePoint now) const noexcept {
  return now >= slot.retire_at && missing() == 0 && live() >= 2;
}

bool Pool::Inside::old(const Connection* connection) noexcept {
  std::lock_guard lock(mutex_);
  const Slot* slot = find(connection);
  return slot == nullptr || slot->dead || may_retire(*slot, parts_.time.now());
}

int Pool::Inside::reconnect() {
  std::lock_guard lock(mutex_);
  if (phase_ != Phase::open) return 0;
  for (const auto& slot : slots_)
    slot->retire_at = parts_.time.now();
  kick();
  return static_cast<int>(slots_.size());
}

void Pool::Inside::watch_until(TimePoint deadline) noexcept {
  if (deadline < wake_at_.load()) kick();
}

void Pool::Inside::bind(const Connection* connection, const Patience* patience) noexcept {
  std::lock_guard lock(mutex_);
  Slot* slot = find(connection);
  if (slot == nullptr) return;
  slot->patience = patience;
  if (patience != nullptr) kick();
}

std::unique_ptr<Connection> Pool::Inside::take(Slot& slot, Use use) {
  slot.use = use;
  show();
  return std::move(slot.home);
}

Pool::Inside::Slot* Pool::Inside::find(const Connection* connection) noexcept {
  for (const auto& slot : slots_) {
    if (slot->connection == connection) return slot.get();
  }
  return nullptr;
}

Pool::Inside::Slot* Pool::Inside::free_slot(bool for_probe) noexcept {
  Slot* found = nullptr;
  for (const auto& slot : slots_) {
    if (slot->use != Use::idle || slot->dead) continue;
    if (slot->reserved && !for_probe) continue;
    found = slot.get();
    if (slot->reserved) break;
  }
  return found;
}

void Pool::Inside::settle(Slot& slot, std::unique_ptr<Connection> connection) {
  slot.patience = nullptr;
  slot.use = Use::idle;
  connection->allow_until(TimePoint::max());
  slot.home = std::move(connection);
  hand_out();
  if (unfinished_.doubtful()) opener_.notify_all();
  kick();  // what the keeper polls has changed
  show();
}

// `why` is empty where it was our own wish.
void Pool::Inside::remove(const Connection* connection, const std::string& why) {
  slots_.erase(
      std::remove_if(slots_.begin(), slots_.end(), [&](const auto& slot) { return slot->connection == connection; }),
      slots_.end());
  show();
  if (phase_ != Phase::open) return;
  if (!why.empty()) {
    note("database " + settings_.name + ": " + why);
    parts_.log.notice("database connection lost",
                      {{"pool", settings_.name}, {"why", why}, {"left", std::to_string(live())}});
  }
  if (refill_.lost_one(live()) && opening_ != nullptr) opening_->shrink_to(parts_.time.now() + Refill::patience(0));
  opener_.notify_all();
}

void Pool::Inside::lose(Fault fault) {
  if (phase_ != Phase::open) return;
  phase_ = Phase::lost;
  lost_ = fault;
  note(fault.text);
  refuse_waiters();
  parts_.log.warning("database pool lost", {{"pool", settings_.name}, {"why", fault.text}});
  parts_.faults.report(fault);
}

void Pool::Inside::refuse_waiters() {
  for (Waiter* waiter : waiting_) {
    waiter->refused = true;
    waiter->woken.notify_one();
  }
  waiting_.clear();
}

void Pool::Inside::note(const std::string& text) { last_error_ = LastError{text, parts_.time.wall()}; }

void Pool::Inside::remember(const std::string& error) {
  std::lock_guard lock(mutex_);
  note(error);
}

std::optional<Pool::LastError> Pool::Inside::last_error() const {
  std::lock_guard lock(mutex_);
  return last_error_;
}

// ---- probe -------------------------------------------------------------------------------------------------------

std::optional<Fault> Pool::Inside::probe(Patience& patience, const Check& more) {
  Lock lock(mutex_);
  for (;;) {
    if (phase_ == Phase::lost) return lost_;
    if (phase_ != Phase::open) return fault_of(FaultKind::connection_lost, "closed");
    Slot* slot = free_slot(true);
    const TimePoint now = parts_.time.now();
    if (slot == nullptr) {
      if (patience.over(now)) return no_probe_connection();
      came_home_.wait_until(lock, patience.nap(now));
      continue;
    }
    auto connection = take(*slot, Use::probing);
    lock.unlock();
    connection->allow_until(patience.deadline());
    bind(connection.get(), &patience);
    watch_until(patience.deadline());
    const auto answer = connection->exec(kAskRole);
    auto verdict = judge_probe(answer, *connection);
    if (!verdict && more && doubt_.exchange(false)) {
      verdict = more(*connection);
      if (verdict) doubt_ = true;
    }
    bind(connection.get(), nullptr);
    const bool another = !answer && answer.error().kind == SqlError::Kind::lost && !connection->was_cut();
    give_back(std::move(connection));
    if (!another) return verdict;  // one lost connection is noise: ask again on another
    lock.lock();
  }
}

std::optional<Fault> Pool::Inside::no_probe_connection() const {
  if (live() > 0 && (settings_.size < 2 || refill_.too_many()))
    return std::nullopt;  // the users' own calls are watched
  return fault_of(FaultKind::timed_out,
                  open_error_.empty() ? "no connection for the probe (" + where_ + ")" : open_error_);
}

std::optional<Fault> Pool::Inside::judge_probe(const Result<Rows, SqlError>& answer,
                                               const Connection& connection) const {
  const std::string place = " (" + connection.where() + ")";
  if (answer) {
    if (const auto wrong = wrong_server(*answer)) return fault_of(wrong->kind, wrong->text + place);
    if (answer->integer(0, 3) == connection.backend()) return std::nullopt;
    return fault_of(FaultKind::pooler, "a pooler has given the probe another server session" + place);
  }
  if (connection.was_cut()) return fault_of(FaultKind::timed_out, "no answer to the probe in time" + place);
  return fault_of(fault_kind(answer.error()), answer.error().text + place);
}

// ---- counts ------------------------------------------------------------------------------------------------------

int Pool::Inside::live() const noexcept {
  int n = 0;
  for (const auto& slot : slots_) {
    if (slot->use != Use::joining && !slot->dead && !slot->connection->broken()) ++n;
  }
  return n;
}

int Pool::Inside::lendable() const noexcept {
  int n = live();
  for (const auto& slot : slots_)
    n -= slot->reserved && !slot->dead && !slot->connection->broken() ? 1 : 0;
  return n;
}

int Pool::Inside::missing() const noexcept { return refill_.missing(present()); }

void Pool::Inside::show() noexcept {
  const auto idle = std::count_if(slots_.begin(), slots_.end(), [](const auto& s) { return s->use == Use::idle; });
  idle_.set(static_cast<double>(idle));
  used_.set(static_cast<double>(slots_.size()) - static_cast<double>(idle));
  pending_.set(static_cast<double>(waiting_.size()));
  left_.set(static_cast<double>(unfinished_.count()));
}

std::optional<Fault> Pool::Inside::fault() const {
  std::lock_guard lock(mutex_);
  return lost_;
}

std::optional<std::string> Pool::Inside::degraded() const {
  std::lock_guard lock(mutex_);
  if (phase_ != Phase::open) return std::nullopt;
  if (!hangs_.empty())
    return std::to_string(live()) + " of " + std::to_string(settings_.size) + " connections: " + hangs_;
  if (open_error_.empty() || live() >= settings_.size) return std::nullopt;
  return std::to_string(live()) + " of " + std::to_string(settings_.size) + " connections: " + open_error_;
}

Pool::Counts Pool::Inside::counts() const {
  std::lock_guard lock(mutex_);
  const auto idle = std::count_if(slots_.begin(), slots_.end(), [](const auto& s) { return s->use == Use::idle; });
  return {live(), static_cast<int>(idle), settings_.size};
}

}  // namespace ratchet::db
