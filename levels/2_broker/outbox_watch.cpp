#include "levels/2_broker/outbox_watch.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "levels/0_baseline/thread.hpp"
#include "levels/core/runbook.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr auto kLeaseWait = 250ms;
constexpr auto kServerFirst = 250ms;  // the server's own timeout comes before our watchdog
constexpr auto kLendAfter = 3s;       // the relay has not lent its connection: it has none to lend, or hangs
constexpr auto kRestMost = 4s;        // after a look that took long
constexpr auto kLastWords = 100ms;    // for a look under way when it is stopped

std::string text_of(const db::OutboxStats& stats) {
  return std::to_string(stats.unpublished_rows) + " rows wait, the oldest for " +
         std::to_string(static_cast<std::int64_t>(stats.oldest_seconds)) + " s, " + std::to_string(stats.bytes >> 20) +
         " MiB";
}

}  // namespace

Hindrance no_connection(const db::Pool& pool) {
  if (auto fewer = pool.degraded())
    return {"no connection to be had: " + *fewer, std::string(runbook(FaultKind::too_many_connections))};
  const auto& settings = pool.settings();
  return {"no connection to be had: all " + std::to_string(settings.size) + " are busy",
          "Raise `size` of the pool \"" + settings.name + "\", or see which statements take so long."};
}

OutboxWatch::OutboxWatch(Parts parts)
    : parts_(std::move(parts)),
      backlog_(parts_.budget, {parts_.times.alarm, parts_.times.blind}),
      standstill_(parts_.times.alarm) {
  Metrics& metrics = parts_.metrics;
  const Labels pool{{"pool", parts_.pool.settings().name}};
  unpublished_ =
      metrics.measured("ratchet_outbox_unpublished_rows", "Committed events not yet acknowledged by Kafka", pool);
  oldest_ =
      metrics.measured("ratchet_outbox_oldest_seconds", "Age of the oldest event not yet acknowledged by Kafka", pool);
  dead_ = metrics.measured("ratchet_dead_letters", "Events in the dead-letter table", pool);
}

OutboxWatch::~OutboxWatch() { stop(); }

std::optional<std::string> OutboxWatch::start(bool publishes) {
  assert(!thread_.joinable());
  {
    Lock lock(mutex_);
    going_ = true;
    publishes_ = publishes;
    woken_ = false;
    backlog_.begin(now());
    standstill_.begin(now());
    look_at_ = now();
  }
  auto none = start_thread(thread_, "outbox-watch", [this] { run(); });
  if (none) going_ = false;
  return none;
}

void OutboxWatch::stop() {
  if (!thread_.joinable()) return;
  {
    Lock lock(mutex_);
    going_ = false;
    changed_.notify_all();
    changed_.wait_for(lock, kLastWords, [this] { return looking_ == nullptr; });
    if (looking_ != nullptr) looking_->cut();
  }
  thread_.join();
  show(nullptr);
  set_or_clear("relay.stuck", {});
  set_or_clear("outbox.unknown", {});
  Lock lock(mutex_);
  trouble_.reset();
  not_looked_.reset();
  holder_.reset();
}

void OutboxWatch::pause(bool paused) noexcept {
  Lock lock(mutex_);
  paused_ = paused;
  if (!paused) standstill_.begin(now());
  changed_.notify_all();
}

std::optional<std::string> OutboxWatch::trouble() const {
  Lock lock(mutex_);
  return trouble_;
}

// ---- told by the relay -------------------------------------------------------------------------------------------

void OutboxWatch::works_on(const db::Connection* connection) {
  Lock lock(mutex_);
  backend_ = connection == nullptr ? 0 : connection->backend();
}

void OutboxWatch::looked(const Result<db::OutboxStats, db::SqlError>& stats, Duration took) {
  Lock lock(mutex_);
  note(stats, took);
  changed_.notify_all();
}

void OutboxWatch::look_soon() {
  Lock lock(mutex_);
  look_at_ = now();
  woken_ = true;
  changed_.notify_all();
}

void OutboxWatch::hindered(Hindrance hindrance) {
  Lock lock(mutex_);
  standstill_.hindered(std::move(hindrance));
}

void OutboxWatch::stands_by() {
  Lock lock(mutex_);
  standstill_.stands_by(now());
}

void OutboxWatch::found_none() {
  Lock lock(mutex_);
  standstill_.found_none(now());
}

void OutboxWatch::carried() {
  Lock lock(mutex_);
  standstill_.carried(now());
  backlog_.carried(now());
}

void OutboxWatch::buried(std::string why) {
  Lock lock(mutex_);
  last_buried_ = std::move(why);
}

// ---- looking -----------------------------------------------------------------------------------------------------

void OutboxWatch::run() {
  for (;;) {
    look();
    judge();
    Lock lock(mutex_);
    woken_ = false;
    changed_.wait_until(lock, std::min(now() + parts_.times.look, look_at_), [this] { return !going_ || woken_; });
    if (!going_) return;
  }
}

void OutboxWatch::look() {
  {
    Lock lock(mutex_);
    if (!going_ || now() < look_at_) return;
    look_at_ = now() + parts_.times.look;
    // One idle connection may be the probe's.
    if (backend_ != 0 && parts_.pool.counts().idle < 2 && backlog_.unseen(now()) < kLendAfter) {
      wants_look_ = true;
      return;
    }
  }
  auto lease = parts_.pool.lease(now() + kLeaseWait);
  if (lease) {
    look(*lease);
  } else {
    not_lent(lease.error());
  }
}

void OutboxWatch::look(db::Lease& lease) {
  bool locked = false;
  {
    Lock lock(mutex_);
    if (!going_) return;
    looking_ = &*lease;
    locked = standstill_.locked();
  }
  const TimePoint begun = now();
  const TimePoint most = begun + parts_.pool.settings().statement + kServerFirst;
  lease.allow_until(most);
  db::Outbox outbox(*lease);
  const auto stats = outbox.stats();
  std::optional<Hindrance> holder;
  if (locked && !lease->broken()) {
    lease.allow_until(now() + parts_.pool.settings().statement + kServerFirst);
    holder = find_holder(lease);
  }
  Lock lock(mutex_);
  looking_ = nullptr;
  changed_.notify_all();
  if (!going_) return;
  if (!locked) holder_.reset();
  if (holder) holder_ = std::move(holder);
  note(stats, now() - begun);
}

// Who is in the relay's way, as far as the server tells us of others.
std::optional<Hindrance> OutboxWatch::find_holder(db::Lease& lease) {
  int backend = 0;
  {
    Lock lock(mutex_);
    backend = backend_;
  }
  if (backend == 0) return std::nullopt;
  auto rows = lease->exec(
      "select b.pid, coalesce(a.usename, ''), coalesce(a.application_name, '') from "
      "pg_catalog.unnest(pg_catalog.pg_blocking_pids(" +
      std::to_string(backend) + ")) b(pid) left join pg_catalog.pg_stat_activity a on a.pid = b.pid limit 1");
  if (!rows || rows->size() == 0) return std::nullopt;
  const std::string pid(rows->text(0, 0));
  std::string holder = "backend " + pid;
  if (!rows->text(0, 1).empty()) holder += ", user " + std::string(rows->text(0, 1));
  if (!rows->text(0, 2).empty()) holder += ", " + std::string(rows->text(0, 2));
  return Hindrance{"it waits for a lock that " + holder + " holds",
                   "End that transaction, or the session: select pg_terminate_backend(" + pid +
                       "), but never one that waits for SyncRep: its commit would be seen unreplicated."};
}

// Looking must not become the load, a twentieth of the time; but nothing is known between two looks, so one that failed
// is repeated soon.
void OutboxWatch::note(const Result<db::OutboxStats, db::SqlError>& stats, Duration took) {
  wants_look_ = false;
  woken_ = true;
  look_at_ = now() + parts_.times.look;
  if (stats) {
    look_at_ =
        now() + std::clamp<Duration>(20 * took, parts_.times.look, std::max<Duration>(kRestMost, parts_.times.look));
    backlog_.looked(*stats, now());
    not_looked_.reset();
    return;
  }
  parts_.pool.report(stats.error());
  not_looked_ = hindrance("measuring it", stats.error());
  parts_.log.info("relay: outbox not measured", {{"reason", stats.error().text}});
}

void OutboxWatch::not_lent(db::LeaseError error) {
  Lock lock(mutex_);
  if (error == db::LeaseError::not_connected) {  // the pool's own alarm, and nobody can add to the backlog from here
    backlog_.begin(now());
    standstill_.begin(now());
    not_looked_.reset();
    return;
  }
  not_looked_ = no_connection(parts_.pool);
}

// ---- judging -----------------------------------------------------------------------------------------------------

void OutboxWatch::judge() {
  std::optional<Hindrance> stuck, unknown, behind, dead;
  std::optional<db::OutboxStats> known;
  Backlog::Budget budget;
  {
    Lock lock(mutex_);
    if (!going_) return;
    const TimePoint at = now();
    if (const auto* stats = backlog_.known(at)) known = *stats;
    budget = backlog_.judge(at);
    if (publishes_ && !paused_) stuck = standstill_.look(backlog_, holder_, at);
    if (!known && backlog_.unseen(at) >= parts_.times.alarm) {
      unknown =
          not_looked_.value_or(Hindrance{"no look has come to its end", std::string(runbook(FaultKind::timed_out))});
      unknown->text = "how many events wait is not known: " + unknown->text;
    }
    if (budget == Backlog::Budget::unknown) {
      behind = Hindrance{"how many events wait is not known for too long: the outbox counts as over its budget",
                         "Event routes answer 503 until it is measured again; the alarm outbox.unknown has the cause."};
    } else if (budget == Backlog::Budget::spent) {
      behind = Hindrance{known ? "the outbox is over its budget: " + text_of(*known)
                               : "the outbox is over its budget, as far as is known",
                         "Event routes answer 503 until it is down by a tenth. Is Kafka slow, is the relay paused?"};
    }
    if (known && known->dead_letters > 0) {
      dead = Hindrance{
          std::to_string(known->dead_letters) + " events could not be published" +
              (last_buried_.empty() ? "" : ", the latest: " + last_buried_),
          "Kafka refused them, or their topic takes none: look at ratchet.dead_letter, then replay or discard them."};
    }
    trouble_ = stuck ? std::optional(stuck->text) : unknown ? std::optional(unknown->text) : std::nullopt;
  }
  behind_ = budget != Backlog::Budget::kept;
  show(known ? &*known : nullptr);
  set_or_clear("relay.stuck", stuck);
  set_or_clear("outbox.unknown", unknown);
  if (known || behind) set_or_clear("outbox.behind", behind);
  if (known) set_or_clear("dead-letters", dead);
}

void OutboxWatch::show(const db::OutboxStats* known) {
  if (known == nullptr) {
    for (const auto* gauge : {&unpublished_, &oldest_, &dead_})
      gauge->forget();
    return;
  }
  unpublished_.set(static_cast<double>(known->unpublished_rows));
  oldest_.set(known->oldest_seconds);
  dead_.set(static_cast<double>(known->dead_letters));
}

void OutboxWatch::set_or_clear(std::string_view kind, const std::optional<Hindrance>& alarm) {
  const std::string id = std::string(kind) + "." + parts_.pool.settings().name;
  if (alarm) {
    parts_.alarms.set(id, alarm->text, alarm->remedy);
  } else {
    parts_.alarms.clear(id);
  }
}

}  // namespace ratchet::kafka
