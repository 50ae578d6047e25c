#include "tests/simulation/relay.hpp"

#include <algorithm>
#include <utility>

#include "levels/2_broker/verdict.hpp"

namespace ratchet::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// As in relay.cpp and relay_page.cpp.
constexpr auto kAckLook = milliseconds(2);  // there it is woken
constexpr auto kRetry = milliseconds(250);
constexpr auto kOutageRest = seconds(2);
constexpr auto kSessionRest = milliseconds(300);

}  // namespace

void Relay::start(Incarnation incarnation) {
  incarnation_ = incarnation;
  producer_ = std::make_unique<Producer>(world_.broker, [this](const kafka::Delivery& delivery) {
    window_.delivered(delivery, kafka::is_purge(delivery.code));
  });
  run_ = std::make_shared<int>(0);
  session();
}

void Relay::stop(Leave leave) {
  run_.reset();
  if (producer_) producer_->purge();
  if (leads_ && leave == Leave::asked && pool_.works(connection_) && world_.database.mood() == Database::Mood::up) {
    if (producing_) tenure_.settle(page_, window_.acknowledged(), std::nullopt, true);
    if (tenure_.unsaved()) world_.database.advance(connection_, tenure_.epoch(), tuning_.ttl, tenure_.done());
    world_.database.release(connection_, tenure_.epoch());
  }
  leads_ = producing_ = false;
  producer_.reset();
  pool_.discard(std::exchange(connection_, 0));  // a call may be under way on it
}

// ---- sessions ----------------------------------------------------------------------------------------------------

void Relay::session() {
  connection_ = pool_.lease();
  if (connection_ == 0) {
    after(kSessionRest, [this] { session(); });
    return;
  }
  acquire();
}

// The connection is gone. What this session knew is forgotten with it.
void Relay::end_session() {
  run_ = std::make_shared<int>(0);
  if (producing_) producer_->purge();
  leads_ = producing_ = false;
  connection_ = 0;
  after(kSessionRest, [this] { session(); });
}

// One statement; `then` only when it was done. The row not being ours any more means to ask for it again.
void Relay::call(bool writes, std::function<Answer(Database&, Database::Session)> does, std::function<void()> then) {
  const auto run = std::weak_ptr<int>(run_);
  auto statement = [&database = world_.database, connection = connection_, does](const Database::Reply& reply) {
    reply(does(database, connection));
  };
  pool_.call(connection_, writes, std::move(statement), [this, run, then](Answer said) {
    if (run.expired()) return;
    switch (said) {
      case Answer::done:
        then();
        return;
      case Answer::lost:
        end_session();
        return;
      case Answer::read_only:  // the pool tells; the ladder comes
        pool_.give_back(connection_);
        end_session();
        return;
      case Answer::not_ours:
        if (producing_) producer_->purge();
        leads_ = producing_ = false;
        after(std::chrono::duration_cast<Duration>(tuning_.standby * (1 + world_.dice.chance())),
              [this] { acquire(); });
        return;
    }
  });
}

void Relay::acquire() {
  const TimePoint asked = now();
  auto lease = std::make_shared<db::RelayLease>();
  call(
      true,
      [this, lease, owner = owner_, ttl = tuning_.ttl](Database& database, Database::Session session) {
        return database.acquire(session, owner, ttl, *lease);
      },
      [this, lease, asked] {
        tenure_.begin(*lease, asked);
        leads_ = true;
        poll_ = tuning_.poll_least;
        round();
      });
}

// ---- leading -----------------------------------------------------------------------------------------------------

void Relay::save(std::function<void()> then) {
  const TimePoint asked = now();
  call(
      true,
      [epoch = tenure_.epoch(), ttl = tuning_.ttl, done = tenure_.done()](
          Database& database, Database::Session session) { return database.advance(session, epoch, ttl, done); },
      [this, asked, then] {
        tenure_.saved(asked);
        then();
      });
}

void Relay::beat(std::function<void()> then) {
  const TimePoint asked = now();
  call(
      true,
      [epoch = tenure_.epoch(), ttl = tuning_.ttl](Database& database, Database::Session session) {
        return database.beat(session, epoch, ttl);
      },
      [this, asked, then] {
        tenure_.renewed(asked);
        then();
      });
}

void Relay::round() {
  if (tenure_.unsaved() && now() >= tenure_.save_at()) {
    save([this] { round(); });
  } else if (now() >= tenure_.beat_at()) {
    beat([this] { round(); });
  } else {
    read();
  }
}

void Relay::read() {
  auto page = std::make_shared<db::Page>();
  call(
      false,
      [page, cursor = tenure_.done(), most = tenure_.careful() ? 1 : kPage](Database& database, Database::Session) {
        *page = database.read(cursor, most);
        return Answer::done;
      },
      [this, page] {
        if (!page->rows.empty()) {
          poll_ = tuning_.poll_least;
          publish(*page);
        } else if (tenure_.pass(*page)) {
          round();
        } else {
          after(poll_, [this] { round(); });
          poll_ = std::min<Duration>(poll_ * 3 / 2, tuning_.poll_most);
        }
      });
}

void Relay::publish(const db::Page& page) {
  page_ = page;
  producing_ = true;
  window_.open(page.rows.size());
  producer_->resume();
  std::size_t sent = 0;
  for (; sent < page.rows.size() && tenure_.may_produce(now()); ++sent)
    producer_->produce(*page.rows[sent].key, std::stoll(*page.rows[sent].payload), window_.token(sent));
  window_.sent(sent);
  wait_home(page);
}

void Relay::wait_home(const db::Page& page) {
  if (window_.settled()) {
    settle(page);
  } else if (too_old()) {
    producer_->purge();
    settle(page);
  } else if (now() >= tenure_.beat_at()) {
    beat([this, page] { wait_home(page); });
  } else {
    after(kAckLook, [this, page] { wait_home(page); });
  }
}

bool Relay::too_old() {
  const auto oldest = producer_->oldest_in_flight();
  if (!oldest || now() - *oldest <= tuning_.unacknowledged) return false;
  report(FaultKind::timed_out, "no acknowledgement");
  return true;
}

void Relay::settle(const db::Page& page) {
  producing_ = false;
  const auto failure = window_.failure();
  switch (tenure_.settle(page, window_.acknowledged(), failure, true)) {
    case kafka::Tenure::Sequel::go_on:
    case kafka::Tenure::Sequel::one_by_one:
      after(tuning_.poll_least, [this] { round(); });
      return;
    case kafka::Tenure::Sequel::bury:
      bury(page);
      return;
    case kafka::Tenure::Sequel::outage:
      report(FaultKind::broker_fatal, "refused for good");
      after(kOutageRest, [this] { round(); });
      return;
    case kafka::Tenure::Sequel::again:
      after(kRetry, [this] { round(); });
      return;
  }
}

void Relay::bury(const db::Page& page) {
  const TimePoint asked = now();
  call(
      true,
      [epoch = tenure_.epoch(), ttl = tuning_.ttl, page](Database& database, Database::Session session) {
        return database.bury(session, epoch, ttl, page.after, page.rows.front().seq);
      },
      [this, page, asked] {
        tenure_.buried(page.after, page.rows.front().seq, asked);
        round();
      });
}

void Relay::report(FaultKind kind, const char* text) { faults_.report({2, incarnation_, kind, text, now()}); }

}  // namespace ratchet::simulation
