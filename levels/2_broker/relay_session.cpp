#include <algorithm>
#include <cassert>
#include <utility>

#include "levels/2_broker/relay_inside.hpp"
#include "levels/2_broker/verdict.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLookEvery = 64;                            // records between two looks at the clock
constexpr std::size_t kPageBytes = std::size_t{8} * 1024 * 1024;  // of one page, as far as the average tells
constexpr int kFirstPage = 64;
constexpr auto kAckLook = 50ms;
constexpr auto kRoomLook = 10ms;
constexpr auto kRetry = 250ms;
constexpr auto kOutageRest = 2s;  // until the ladder takes the level down
constexpr auto kStuck = 10s;
constexpr int kBadHeaders = -186;  // _INVALID_ARG
constexpr std::string_view kDeadLettersFull = "53400";
constexpr std::string_view kCanceled = "57014";  // by statement_timeout
constexpr std::string_view kRewriting = "relay.rewriting";

}  // namespace

Session::Session(Relay::Inside& relay, db::Lease& lease)
    : relay_(relay),
      tuning_(relay.parts_.tuning),
      lease_(lease),
      outbox_(*lease),
      producer_(relay.producer_),
      tenure_({tuning_.ttl, tuning_.beat, tuning_.save}),
      poll_(tuning_.poll_least) {
  stats_at_ = rotate_at_ = relay_.now();
}

void Session::run() {
  allow();
  if (step(outbox_.prepare()) != Step::go_on) return;
  if (producer_ == nullptr) return measure();
  bool said = false;
  while (relay_.going() && !lease_.old()) {
    TimePoint asked = relay_.now();
    auto got = acquire();
    if (step(got) != Step::go_on) return;
    if (!*got) {
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
    if (end == Step::lost) relay_.parts_.log.warning("relay: the lease went to another instance");
  }
}

// After a restore into another cluster the lease comes with a rewrite of everything left, in that one statement: with
// a large backlog it takes minutes, and cut off after the usual seconds it would never end. So a lease not to be had in
// the usual time is asked for once more, with patience. A database that merely hangs is the probe's business.
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
  relay_.parts_.alarms.set(relay_.alarm_id(kRewriting),
                           "the relay has no lease yet: its row is locked, or the backlog is being rewritten",
                           "After a restore into another cluster the backlog is rewritten once: wait. Else look for a "
                           "transaction that holds ratchet.relay.");
  allow();
  if (auto set = lease_->exec("set statement_timeout = '10min'"); !set) return std::move(set).error();
  lease_.allow_until(relay_.patient_until());
  auto got = outbox_.acquire(relay_.parts_.owner, tuning_.ttl);
  allow();
  if (auto reset = lease_->exec("reset statement_timeout"); !reset) return std::move(reset).error();
  relay_.patient_ = !got;
  return got;
}

// A connection error ends the session; the caller looks at the outcome of its own statement, too.
template <class T>
Session::Step Session::step(const Result<T, db::SqlError>& result) {
  if (result) return Step::go_on;
  relay_.parts_.pool.report(result.error());
  relay_.parts_.log.warning("relay: the database did not do it", {{"reason", result.error().text}});
  return Step::failed;
}

Session::Step Session::still_ours(const Result<bool, db::SqlError>& result, TimePoint asked) {
  if (Step done = step(result); done != Step::go_on) return done;
  if (!*result) return Step::lost;
  tenure_.renewed(asked);
  return Step::go_on;
}

void Session::allow() { lease_.allow_until(relay_.call_until()); }

void Session::measure() {
  while (relay_.going() && !lease_.old()) {
    if (look_at_stats(relay_.now()) != Step::go_on) return;
    relay_.rest(stats_at_);
  }
}

bool Session::stand_by() {
  TimePoint now = relay_.now();
  if (look_at_stats(now) != Step::go_on) return false;
  auto share = std::chrono::duration_cast<Duration>(tuning_.standby * (1 + relay_.chance()));
  relay_.rest(now + share);
  return true;
}

void Session::begin(const db::RelayLease& lease, TimePoint asked) {
  tenure_.begin(lease, asked);
  reclaim_at_ = asked + tuning_.reclaim;
  read_at_ = {};
  failing_since_.reset();
  grown_ = kFirstPage;
  row_bytes_ = 0;
  relay_.parts_.alarms.clear(relay_.alarm_id("relay.stuck"));  // of an earlier session
  relay_.parts_.alarms.clear(relay_.alarm_id("dead-letters.full"));
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
  if (step(released) == Step::go_on) relay_.parts_.log.info("relay: lease released");
  return Step::go_on;
}

// ---- the lease ---------------------------------------------------------------------------------------------------

Session::Step Session::save() {
  if (!tenure_.unsaved()) return Step::go_on;
  TimePoint asked = relay_.now();
  allow();
  Step done = still_ours(outbox_.advance(tenure_.epoch(), tuning_.ttl, tenure_.done()), asked);
  if (done == Step::go_on) tenure_.saved(asked);
  return done;
}

Session::Step Session::keep_lease() {
  TimePoint asked = relay_.now();
  if (asked < tenure_.beat_at()) return Step::go_on;
  allow();
  return still_ours(outbox_.beat(tenure_.epoch(), tuning_.ttl), asked);
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
  return look_at_stats(now);
}

Session::Step Session::look_at_stats(TimePoint now) {
  if (now < stats_at_) return Step::go_on;
  allow();
  auto stats = outbox_.stats();
  // Looking must not become the load: at most a twentieth of the time.
  TimePoint after = relay_.now();
  stats_at_ = after + std::max<Duration>(tuning_.stats, 20 * (after - now));
  if (!stats) {
    relay_.parts_.log.info("relay: outbox not measured", {{"reason", stats.error().text}});
    return stats.error().kind == db::SqlError::Kind::lost ? Step::failed : Step::go_on;
  }
  relay_.judge_budget(*stats);
  return Step::go_on;
}

bool Session::may_produce() const { return tenure_.may_produce(relay_.now()) && !relay_.hurried(); }

// ---- one page ----------------------------------------------------------------------------------------------------

Session::Step Session::round() {
  if (Step done = housekeeping(); done != Step::go_on) return done;
  if (relay_.paused_) {
    relay_.idle(relay_.now() + tuning_.poll_most);
    return Step::go_on;
  }
  read_before_ = std::exchange(read_at_, relay_.now());
  allow();
  auto page = outbox_.read(tenure_.done(), page_rows());
  if (Step done = step(page); done != Step::go_on) return done;
  if (!page->rows.empty()) {
    poll_ = tuning_.poll_least;
    adapt(*page);
    Step done = publish(*page);
    if (done == Step::go_on && !tenure_.careful()) gather(page->rows.size());
    return done;
  }
  if (tenure_.pass(*page)) return Step::go_on;
  relay_.idle(read_at_ + poll_);
  poll_ = std::min<Duration>(poll_ * 3 / 2, tuning_.poll_most);
  return Step::go_on;
}

// Commits that come one by one are fetched together: a page of one row costs nearly as much as one of fifty, here, in
// the database, and most of all at the broker. A page that is half full or more leaves a backlog: no rest.
void Session::gather(std::size_t rows) {
  if (rows * 2 >= static_cast<std::size_t>(tuning_.page)) return;
  bool stream = rows >= static_cast<std::size_t>(tuning_.many);
  const std::chrono::duration<double> since_the_last_page = read_at_ - read_before_;
  bool busy = static_cast<double>(rows) >= tuning_.busy * since_the_last_page.count();
  relay_.rest(read_at_ + (!stream ? tuning_.poll_least : busy ? tuning_.gather_busy : tuning_.gather));
}

int Session::page_rows() const noexcept {
  if (tenure_.careful()) return 1;
  int fitting = row_bytes_ == 0 ? tuning_.page : static_cast<int>(kPageBytes / row_bytes_);
  return std::clamp(std::min(fitting, grown_), 1, tuning_.page);
}

// The database bounds a page by rows only; memory is bounded by what the rows weighed lately.
void Session::adapt(const db::Page& page) {
  std::size_t bytes = 0;
  for (const auto& row : page.rows) {
    bytes += row.headers.size() + (row.key ? row.key->size() : 0) + (row.payload ? row.payload->size() : 0);
  }
  std::size_t mean = bytes / page.rows.size() + 1;
  row_bytes_ = row_bytes_ == 0 ? mean : std::max(mean, (3 * row_bytes_ + mean) / 4);
  if (!tenure_.careful()) grown_ = std::min(2 * grown_, tuning_.page);
}

Session::Step Session::publish(const db::Page& page) {
  {
    std::lock_guard lock(relay_.mutex_);
    relay_.window_.open(page.rows.size());
  }
  std::size_t sent = 0;
  for (bool whole = true; whole && sent < page.rows.size();) {
    const std::size_t before = sent;
    if (Step done = wave(page, sent); done != Step::go_on) {
      producer_->purge();
      return done;
    }
    std::lock_guard lock(relay_.mutex_);
    whole = sent > before && relay_.window_.acknowledged() == sent && !relay_.window_.failure();
  }
  return settle(page);
}

// As many as are one batch of each partition, sent and seen home.
Session::Step Session::wave(const db::Page& page, std::size_t& sent) {
  producer_->resume();
  Step done = produce(page, sent);
  producer_->send();
  {
    std::lock_guard lock(relay_.mutex_);
    relay_.window_.sent(sent);
  }
  return done == Step::go_on ? wait_home() : done;
}

Session::Step Session::produce(const db::Page& page, std::size_t& sent) {
  const std::size_t first = sent;
  for (std::size_t weight = 0; sent < page.rows.size(); ++sent) {
    if (sent % kLookEvery == 0 && !may_produce()) break;
    const db::OutboxRow& row = page.rows[sent];
    if (!header_reader_.read(row.headers, record_.headers)) {
      std::lock_guard lock(relay_.mutex_);
      relay_.window_.failed(sent, kBadHeaders, "the headers are not a JSON object");
      break;
    }
    record_.topic = row.topic;
    record_.key = row.key;
    record_.value = row.payload;
    weight += Producer::weight(record_);
    if (sent > first && !producer_->fits(sent - first, weight)) break;
    while (!producer_->produce(record_, relay_.window_.token(sent))) {
      if (sent > first) return Step::go_on;  // the local queue is full: what is in it is a wave
      relay_.wait_room(relay_.now() + kRoomLook);
      if (Step done = keep_lease(); done != Step::go_on) return done;
      if (!may_produce() || too_old()) return Step::go_on;
    }
  }
  return Step::go_on;
}

Session::Step Session::wait_home() {
  for (;;) {
    TimePoint look = std::min(relay_.now() + kAckLook, tenure_.beat_at());
    if (relay_.wait_settled(look)) return Step::go_on;
    if (relay_.hurried() || too_old()) {
      producer_->purge();
      return Step::go_on;  // what has come back counts, and nothing more
    }
    if (Step done = keep_lease(); done != Step::go_on) return done;
  }
}

bool Session::too_old() {
  auto oldest = producer_->oldest_in_flight();
  if (!oldest || relay_.now() - *oldest <= tuning_.unacknowledged) return false;
  auto waited = std::chrono::duration_cast<std::chrono::seconds>(tuning_.unacknowledged).count();
  relay_.report(FaultKind::timed_out, "no acknowledgement for " + std::to_string(waited) + " s");
  return true;
}

Session::Step Session::settle(const db::Page& page) {
  std::size_t acknowledged = 0;
  std::optional<Window::Failure> failure;
  {
    std::lock_guard lock(relay_.mutex_);
    acknowledged = relay_.window_.acknowledged();
    failure = relay_.window_.failure();
  }
  if (acknowledged > 0) {
    relay_.published_.add(static_cast<double>(acknowledged));
    relay_.last_publish_.set(std::chrono::duration<double>(relay_.parts_.time.wall().time_since_epoch()).count());
    progress();
  }
  const bool required = failure && producer_->requires_topic(page.rows[failure->index].topic);
  switch (tenure_.settle(page, acknowledged, failure, required)) {
    case Tenure::Sequel::go_on:
      return Step::go_on;
    case Tenure::Sequel::one_by_one:
      tell_refused(page, *failure);
      return Step::go_on;
    case Tenure::Sequel::bury:
      return bury(page, *failure);
    case Tenure::Sequel::outage:
      return outage(*failure, page.rows[failure->index]);
    case Tenure::Sequel::again:
      break;
  }
  return again(*failure);
}

void Session::progress() {
  if (!failing_since_) return;
  failing_since_.reset();
  relay_.parts_.alarms.clear(relay_.alarm_id("relay.stuck"));
}

// ---- what went wrong ---------------------------------------------------------------------------------------------

void Session::tell_refused(const db::Page& page, const Window::Failure& failure) {
  const db::OutboxRow& row = page.rows[failure.index];
  relay_.parts_.log.notice("relay: a record was refused, going on one by one",
                           {{"topic", row.topic}, {"seq", std::to_string(row.seq)}, {"reason", failure.text}});
}

Session::Step Session::bury(const db::Page& page, const Window::Failure& failure) {
  const db::OutboxRow& row = page.rows.front();
  TimePoint asked = relay_.now();
  allow();
  auto buried = outbox_.bury(tenure_.epoch(), tuning_.ttl, page.after, row, std::to_string(failure.code), failure.text);
  if (!buried && buried.error().sqlstate == kDeadLettersFull) {
    relay_.parts_.alarms.set(relay_.alarm_id("dead-letters.full"),
                             "the dead letters are full: the relay waits, nothing is published",
                             "Replay or discard dead letters; nothing is ever dropped by itself.");
    relay_.rest(relay_.now() + kOutageRest);
    return Step::go_on;
  }
  if (Step done = still_ours(buried, asked); done != Step::go_on) return done;
  relay_.parts_.alarms.clear(relay_.alarm_id("dead-letters.full"));
  tenure_.buried(page, asked);
  stats_at_ = asked;  // the alarm comes at once
  relay_.buried_.add();
  progress();
  relay_.parts_.log.error("relay: event put into the dead letters",
                          {{"topic", row.topic}, {"seq", std::to_string(row.seq)}, {"reason", failure.text}});
  return Step::go_on;
}

Session::Step Session::outage(const Window::Failure& failure, const db::OutboxRow& row) {
  FaultKind kind = fault_kind(failure.code);
  relay_.report(kind == FaultKind::unknown ? FaultKind::broker_fatal : kind,
                "topic \"" + row.topic + "\": " + failure.text);
  relay_.rest(relay_.now() + kOutageRest);
  return Step::go_on;
}

Session::Step Session::again(const Window::Failure& failure) {
  TimePoint now = relay_.now();
  relay_.retries_.add();
  relay_.parts_.log.info("relay: page not taken, again", {{"reason", failure.text}});
  if (!failing_since_) failing_since_ = now;
  if (now - *failing_since_ >= kStuck) {
    relay_.parts_.alarms.set(relay_.alarm_id("relay.stuck"), "the relay makes no progress: " + failure.text,
                             "Kafka refuses the oldest event again and again; see its own log.");
  }
  relay_.rest(now + kRetry);
  return Step::go_on;
}

}  // namespace ratchet::kafka
