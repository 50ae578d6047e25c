#include <algorithm>

#include "levels/2_broker/relay_inside.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr int kFirstPage = 64;
constexpr std::string_view kCanceled = "57014";  // by statement_timeout
constexpr std::string_view kLocked = "55P03";    // by lock_timeout
constexpr std::string_view kRewriting = "relay.rewriting";
constexpr std::string_view kRewritten =
    "After a restore into another cluster the backlog is rewritten once: wait. Else look for a transaction that holds "
    "ratchet.relay.";
constexpr std::string_view kContested =
    "If this repeats, something else writes to ratchet.relay, or its functions were changed: put back what `ratchetd "
    "migrate` made there.";

}  // namespace

Session::Session(Relay::Inside& relay, db::Lease& lease)
    : relay_(relay),
      tuning_(relay.parts_.tuning),
      lease_(lease),
      outbox_(*lease),
      producer_(relay.producer_),
      tenure_({tuning_.ttl, tuning_.beat, tuning_.save}),
      poll_(tuning_.poll_least) {
  rotate_at_ = relay_.now();
}

// A lock that is not to be had ends a call before the server's own bound does, so that the two can be told apart.
void Session::run() {
  const auto lock_ms =
      std::chrono::duration_cast<milliseconds>(relay_.parts_.pool.settings().statement).count() * 4 / 5;
  allow();
  if (step("preparing its statements", lease_->exec("set lock_timeout = " + std::to_string(lock_ms))) != Step::go_on)
    return;
  allow();
  if (step("preparing its statements", outbox_.prepare()) == Step::go_on) work();
  allow();
  if (!lease_->restore("lock_timeout")) lease_->cut();
}

void Session::work() {
  bool said = false;
  while (relay_.going() && !lease_.old()) {
    TimePoint asked = relay_.now();
    auto got = acquire();
    if (step("getting the lease", got) != Step::go_on) return;
    if (!*got) {
      relay_.watch_.stands_by();
      if (!said) relay_.parts_.log.info("relay: stands by, another instance leads");
      said = true;
      if (!stand_by()) return;
      continue;
    }
    said = false;
    begin(**got, asked);
    Step end = lead();
    relay_.lead(false);
    if (end == Step::failed || end == Step::old) return;
    if (end != Step::lost) continue;
    relay_.parts_.log.warning("relay: the lease went to another instance");
    relay_.watch_.hindered({"its lease was taken away", std::string(kContested)});
    relay_.rest(relay_.now() + tuning_.standby);
  }
}

// After a restore into another cluster the lease comes with a rewrite of everything left, in that one statement: with
// a large backlog it takes minutes, and cut off after the usual seconds it would never end. So a lease not to be had in
// the usual time is asked for once more, with patience; one that is locked (55P03) is not. A database that merely hangs
// is the probe's business.
Result<std::optional<db::RelayLease>, db::SqlError> Session::acquire() {
  if (!relay_.patient_) {
    allow();
    auto got = outbox_.acquire(relay_.parts_.owner, tuning_.ttl);
    if (got) return got;
    bool said = got.error().kind == db::SqlError::Kind::said;
    relay_.patient_ = relay_.going() && (said ? got.error().sqlstate == kCanceled : lease_->was_cut());
    if (!said || !relay_.patient_) return got;
  }
  auto got = acquire_patiently();
  relay_.parts_.alarms.clear(relay_.alarm_id(kRewriting));
  return got;
}

Result<std::optional<db::RelayLease>, db::SqlError> Session::acquire_patiently() {
  relay_.parts_.log.notice("relay: the lease takes long to get, waits up to ten minutes");
  constexpr std::string_view kText = "the relay has no lease yet: its row is locked, or the backlog is being rewritten";
  relay_.parts_.alarms.set(relay_.alarm_id(kRewriting), kText, kRewritten);
  relay_.watch_.hindered({std::string(kText), std::string(kRewritten), true, true});
  allow();
  if (auto set = lease_->exec("set statement_timeout = '10min'"); !set) return std::move(set).error();
  lease_.allow_until(relay_.patient_until());
  auto got = outbox_.acquire(relay_.parts_.owner, tuning_.ttl);
  allow();
  if (auto reset = lease_->restore("statement_timeout"); !reset) return std::move(reset).error();
  relay_.patient_ = !got && got.error().sqlstate != kLocked;
  return got;
}

Session::Step Session::failed(std::string_view doing, const db::SqlError& error) {
  relay_.parts_.pool.report(error);
  relay_.watch_.hindered(hindrance(doing, error));
  relay_.parts_.log.warning("relay: the database did not do it", {{"reason", error.text}});
  return Step::failed;
}

Session::Step Session::still_ours(std::string_view doing, const Result<bool, db::SqlError>& result, TimePoint asked) {
  if (Step done = step(doing, result); done != Step::go_on) return done;
  if (!*result) return Step::lost;
  tenure_.renewed(asked);
  return Step::go_on;
}

void Session::allow() { lease_.allow_until(relay_.call_until()); }

bool Session::stand_by() {
  if (lend_a_look() != Step::go_on) return false;
  auto share = std::chrono::duration_cast<Duration>(tuning_.standby * (1 + relay_.chance()));
  relay_.rest(relay_.now() + share);
  return true;
}

void Session::begin(const db::RelayLease& lease, TimePoint asked) {
  tenure_.begin(lease, asked);
  reclaim_at_ = asked + tuning_.reclaim;
  read_at_ = {};
  grown_ = kFirstPage;
  row_bytes_ = 0;
  relay_.parts_.alarms.clear(relay_.alarm_id("dead-letters.full"));  // of an earlier session
  relay_.lead(true);
  relay_.parts_.log.notice("relay: leads", {{"epoch", std::to_string(tenure_.epoch())}});
  if (lease.republished > 0) {
    relay_.parts_.log.warning("relay: another database cluster, what is left is published again",
                              {{"rows", std::to_string(lease.republished)}});
  }
}

Session::Step Session::lead() {
  while (relay_.going()) {
    if (Step done = round(); done != Step::go_on) return done;
    if (!lease_.old()) continue;
    // The lease is the owner's, not the connection's: the next session has it back at once.
    Step done = save();
    return done == Step::go_on ? Step::old : done;
  }
  return leave();
}

Session::Step Session::leave() {
  if (relay_.patience_->over(relay_.now())) return Step::go_on;  // the lease runs out by itself
  if (Step done = save(); done != Step::go_on) return done;
  allow();
  auto released = outbox_.release(tenure_.epoch());
  if (step("releasing the lease", released) == Step::go_on) relay_.parts_.log.info("relay: lease released");
  return Step::go_on;
}

// ---- the lease ---------------------------------------------------------------------------------------------------

Session::Step Session::save() {
  if (!tenure_.unsaved()) return Step::go_on;
  TimePoint asked = relay_.now();
  allow();
  Step done = still_ours("moving the cursor", outbox_.advance(tenure_.epoch(), tuning_.ttl, tenure_.done()), asked);
  if (done != Step::go_on) return done;
  tenure_.saved(asked);
  relay_.watch_.carried();
  return done;
}

Session::Step Session::keep_lease() {
  TimePoint asked = relay_.now();
  if (asked < tenure_.beat_at()) return Step::go_on;
  allow();
  return still_ours("keeping the lease", outbox_.beat(tenure_.epoch(), tuning_.ttl), asked);
}

Session::Step Session::housekeeping() {
  TimePoint now = relay_.now();
  if (now >= tenure_.save_at()) {
    if (Step done = save(); done != Step::go_on) return done;
  }
  if (Step done = keep_lease(); done != Step::go_on) return done;
  return minor_duties(now);
}

// What may fail without harm, as long as the connection is good.
Session::Step Session::minor_duties(TimePoint now) {
  auto harmless = [&](const Result<std::string, db::SqlError>& said, std::string_view what) {
    if (said) {
      if (!said->empty()) relay_.parts_.log.debug(what, {{"did", *said}});
      return Step::go_on;
    }
    relay_.parts_.log.info(what, {{"reason", said.error().text}});
    return said.error().kind == db::SqlError::Kind::lost ? Step::failed : Step::go_on;
  };
  if (now >= reclaim_at_) {
    reclaim_at_ = now + tuning_.reclaim;
    allow();
    if (harmless(outbox_.reclaim(tenure_.epoch()), "relay: reclaims") == Step::failed) return Step::failed;
  }
  if (now >= rotate_at_) {
    rotate_at_ = now + tuning_.rotate;
    allow();
    if (harmless(outbox_.rotate_idempotency(), "relay: rotates idempotency") == Step::failed) return Step::failed;
  }
  return lend_a_look();
}

// Where the pool has no connection to spare for measuring.
Session::Step Session::lend_a_look() {
  if (!relay_.watch_.wants_look()) return Step::go_on;
  const TimePoint begun = relay_.now();
  allow();
  auto stats = outbox_.stats();
  relay_.watch_.looked(stats, relay_.now() - begun);
  return !stats && stats.error().kind == db::SqlError::Kind::lost ? Step::failed : Step::go_on;
}

bool Session::may_produce() const { return tenure_.may_produce(relay_.now()) && !relay_.hurried(); }

}  // namespace ratchet::kafka
