#include "tests/simulation/database.hpp"

#include <algorithm>
#include <utility>

namespace ratchet::simulation {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

const char* word(Database::Mood mood) {
  switch (mood) {
    case Database::Mood::up:
      return "up";
    case Database::Mood::refused:
      return "down";
    case Database::Mood::frozen:
      return "frozen";
    case Database::Mood::read_only:
      return "read-only";
    case Database::Mood::no_room:
      return "full of connections";
    case Database::Mood::wrong_password:
      return "with another password";
  }
  return "?";
}

// A snapshot is how many commits it has seen: what pg_snapshot says, in one number.
std::int64_t seen(const std::string& snapshot) { return std::stoll(snapshot); }

}  // namespace

// ---- the script's side -------------------------------------------------------------------------------------------

void Database::become(Mood mood) {
  if (mood == mood_) return;
  judge_.tell(-1, std::string("the database is ") + word(mood));
  const bool thaws = mood_ == Mood::frozen;
  mood_ = mood;
  if (mood == Mood::refused || mood == Mood::read_only) {  // a crash; a failover to a standby that is not promoted yet
    ++boot_;
    for (const Session session : sessions())
      end_session(session);
  }
  if (!thaws) return;
  std::vector<Waiting> arrived;
  arrived.swap(stuck_);
  for (const Waiting& waiting : arrived)
    time_.after(dice_.between(microseconds(100), milliseconds(3)), [this, waiting] { run(waiting); });
  std::vector<Session> gone;
  gone.swap(abandoned_);
  for (const Session session : gone)
    time_.after(milliseconds(10), [this, session] { abandon(session); });
}

void Database::abandon(Session session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  found->second = nullptr;
  if (frozen())
    abandoned_.push_back(session);
  else
    sessions_.erase(found);
}

void Database::end_session(Session session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  const auto ended = found->second;
  sessions_.erase(found);
  if (ended) time_.after(dice_.between(microseconds(200), milliseconds(10)), ended);
}

// ---- connections -------------------------------------------------------------------------------------------------

Database::Session Database::connect(std::function<void()> ended) {
  sessions_.emplace(++last_session_, std::move(ended));
  return last_session_;
}

std::vector<Database::Session> Database::sessions() const {
  std::vector<Session> all;
  for (const auto& [session, ended] : sessions_)
    all.push_back(session);
  return all;
}

void Database::send(Session session, bool writes, Statement statement, Reply reply) {
  const Waiting waiting{session, writes, std::move(statement), std::move(reply)};
  time_.after(dice_.between(microseconds(100), milliseconds(2)), [this, waiting] { run(waiting); });
}

void Database::run(const Waiting& waiting) {
  if (!alive(waiting.session)) return;  // its end is told by `ended`
  if (frozen()) {
    stuck_.push_back(waiting);
    return;
  }
  const auto answer = [this, waiting](Answer said) {
    time_.after(dice_.between(microseconds(100), milliseconds(2)), [this, waiting, said] {
      if (alive(waiting.session)) waiting.reply(said);
    });
  };
  if (waiting.writes && mood_ == Mood::read_only) {
    answer(Answer::read_only);
  } else {
    waiting.statement(answer);
  }
}

// ---- statements --------------------------------------------------------------------------------------------------

// The seq is drawn before the commit, so commits overtake one another.
void Database::append(const std::string& key, std::int64_t event, const Reply& reply) {
  const std::int64_t seq = ++last_seq_;
  const std::int64_t boot = boot_;
  time_.after(dice_.between(microseconds(200), dice_.one_in(20) ? milliseconds(80) : milliseconds(4)),
              [this, seq, boot, key, event, reply] {
                if (boot != boot_) return;  // crashed before the commit
                rows_.emplace(seq, Row{seq, ++commits_, key, event});
                reply(Answer::done);
              });
}

Answer Database::acquire(Session session, const std::string& owner, Duration ttl, db::RelayLease& lease) {
  if (lease_until_ > time_.now() && owner_ != owner) return Answer::not_ours;
  owner_ = owner;
  leader_ = session;
  lease_until_ = time_.now() + ttl;
  lease = {++epoch_, cursor_, 0};
  return Answer::done;
}

bool Database::ours(Session session, std::int64_t epoch) const { return epoch == epoch_ && session == leader_; }

Answer Database::beat(Session session, std::int64_t epoch, Duration ttl) {
  if (!ours(session, epoch)) return Answer::not_ours;
  lease_until_ = time_.now() + ttl;
  return Answer::done;
}

Answer Database::advance(Session session, std::int64_t epoch, Duration ttl, const db::Cursor& cursor) {
  if (!ours(session, epoch) || seen(cursor.snap_from) < seen(cursor_.snap_from)) return Answer::not_ours;
  cursor_ = cursor;
  lease_until_ = time_.now() + ttl;
  for (auto row = rows_.begin();
       row != rows_.end();)  // reclaimed at once: what is behind the cursor is never read again
    row = row->second.commit <= seen(cursor.snap_from) ? rows_.erase(row) : std::next(row);
  return Answer::done;
}

Answer Database::bury(Session session, std::int64_t epoch, Duration ttl, const db::Cursor& cursor, std::int64_t seq) {
  const auto row = rows_.find(seq);
  if (row == rows_.end()) return Answer::not_ours;  // somebody else has moved past it
  const std::int64_t event = row->second.event;
  const Answer answer = advance(session, epoch, ttl, cursor);
  if (answer == Answer::done) buried_.insert(event);
  return answer;
}

void Database::release(Session session, std::int64_t epoch) {
  if (ours(session, epoch)) lease_until_ = TimePoint::min();
}

// relay_read: without an upper snapshot it opens a window up to now, and goes through it by seq.
db::Page Database::read(const db::Cursor& cursor, int most) const {
  const std::int64_t from = seen(cursor.snap_from);
  const std::int64_t to = cursor.snap_to ? seen(*cursor.snap_to) : commits_;
  std::vector<const Row*> found;
  for (const auto& [seq, row] : rows_)
    if (row.commit > from && row.commit <= to && (!cursor.snap_to || (seq > cursor.last_seq && seq <= *cursor.hi_seq)))
      found.push_back(&row);
  db::Page page;
  page.after = cursor;
  const bool more = found.size() > static_cast<std::size_t>(most);
  const std::int64_t high = cursor.snap_to || found.empty() ? cursor.hi_seq.value_or(-1) : found.back()->seq;
  if (more) found.resize(static_cast<std::size_t>(most));
  for (const Row* row : found)
    page.rows.push_back({row->seq, "events", row->key, "{}", std::to_string(row->event)});
  if (more) {
    page.after = {cursor.snap_from, std::to_string(to), page.rows.back().seq, high};
  } else if (cursor.snap_to || !found.empty()) {
    page.after = {std::to_string(to), std::nullopt, -1, std::nullopt};
  }
  return page;
}

}  // namespace ratchet::simulation
