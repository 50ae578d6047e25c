// A PostgreSQL server made of a few rules: sessions that end with it, statements that run to their end once they have
// arrived (also when nobody waits for the answer any more), and the outbox as levels/1_database/schema/*.sql keep it:
// rows become visible in the order of commits, not of seq; one leased relay, fenced by epoch and session.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "levels/1_database/outbox.hpp"
#include "tests/simulation/judge.hpp"

namespace ratchet::simulation {

enum class Answer : std::uint8_t {
  done,
  not_ours,   // the relay's row belongs to somebody else
  read_only,  // SQLSTATE 25006
  lost,       // the connection ended first: done or not, nobody knows
};

class Database {
 public:
  enum class Mood : std::uint8_t { up, refused, frozen, read_only, no_room, wrong_password };

  using Session = std::int64_t;  // 0: none
  using Reply = std::function<void(Answer)>;
  using Statement = std::function<void(const Reply&)>;

  Database(Timeline& time, Dice& dice, Judge& judge) : time_(time), dice_(dice), judge_(judge) {}

  // ---- the script's side
  Mood mood() const noexcept { return mood_; }
  void become(Mood mood);
  void end_session(Session session);  // pg_terminate_backend

  // ---- connections
  // What a connection attempt meets now. `ended` is called once, some milliseconds after the session's end.
  bool frozen() const noexcept { return mood_ == Mood::frozen; }
  Session connect(std::function<void()> ended);
  bool alive(Session session) const { return sessions_.count(session) > 0; }
  // Its client is gone: a frozen server sees that only after it has done what had arrived before.
  void abandon(Session session);
  std::vector<Session> sessions() const;
  // Sends it. The answer comes later, or never.
  void send(Session session, bool writes, Statement statement, Reply reply);

  // ---- statements
  void append(const std::string& key, std::int64_t event, const Reply& reply);
  Answer acquire(Session session, const std::string& owner, Duration ttl, db::RelayLease& lease);
  Answer beat(Session session, std::int64_t epoch, Duration ttl);
  Answer advance(Session session, std::int64_t epoch, Duration ttl, const db::Cursor& cursor);
  Answer bury(Session session, std::int64_t epoch, Duration ttl, const db::Cursor& cursor, std::int64_t seq);
  void release(Session session, std::int64_t epoch);
  db::Page read(const db::Cursor& cursor, int most) const;

  bool is_buried(std::int64_t event) const { return buried_.count(event) > 0; }

 private:
  struct Row {
    std::int64_t seq;
    std::int64_t commit;  // the how manieth commit made it visible
    std::string key;
    std::int64_t event;
  };
  struct Waiting {
    Session session;
    bool writes;
    Statement statement;
    Reply reply;
  };
  void run(const Waiting& waiting);
  bool ours(Session session, std::int64_t epoch) const;

  Timeline& time_;
  Dice& dice_;
  Judge& judge_;
  Mood mood_ = Mood::up;
  std::int64_t boot_ = 1;
  Session last_session_ = 0;
  std::map<Session, std::function<void()>> sessions_;
  std::vector<Waiting> stuck_;  // arrived while frozen
  std::vector<Session> abandoned_;

  std::map<std::int64_t, Row> rows_;  // by seq, committed
  std::int64_t last_seq_ = 0, commits_ = 0;
  std::set<std::int64_t> buried_;
  std::int64_t epoch_ = 0;
  std::string owner_;
  Session leader_ = 0;
  TimePoint lease_until_ = TimePoint::min();
  db::Cursor cursor_{"0", std::nullopt, -1, std::nullopt};
};

}  // namespace ratchet::simulation
