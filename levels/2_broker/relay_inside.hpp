// The inside of Relay. Included by relay.cpp, relay_session.cpp and relay_page.cpp only.
//
// One thread per start(), and the OutboxWatch's. It works in sessions: one connection of the pool each, from being lent
// to its failure or to stop(). In a session it stands by or leads; leading is a loop of read, produce, wait, save.
// Whatever fails, the session ends, what it knew is forgotten, and the next one takes the cursor from the database
// again.
#pragma once

#include <array>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "levels/2_broker/outbox_watch.hpp"
#include "levels/2_broker/record_headers.hpp"
#include "levels/2_broker/relay.hpp"
#include "levels/2_broker/set_aside.hpp"
#include "levels/2_broker/tenure.hpp"
#include "levels/2_broker/window.hpp"

namespace ratchet::kafka {

class Relay::Inside final : public DeliverySink {
 public:
  explicit Inside(Parts parts);
  ~Inside() override;
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  // Without a producer: only measures.
  Result<Nothing> start(Producer* producer, Incarnation incarnation, FaultSink& faults);
  void stop(Patience& patience, Leave leave);
  void wake() noexcept;
  void pause(bool paused) noexcept;
  void delivered(const Delivery& delivery) override;

  const std::string& pool() const noexcept { return parts_.pool.settings().name; }
  std::atomic<bool> leads_{false}, paused_{false};
  OutboxWatch watch_;

 private:
  friend class Session;
  enum class Course : std::uint8_t { going, asked, fault };

  void run();
  bool session();  // false: the pool had no connection to give
  std::string alarm_id(std::string_view kind) const { return std::string(kind) + "." + parts_.pool.settings().name; }
  double chance();
  TimePoint now() const noexcept { return parts_.time.now(); }

  // How the thread waits. Each returns at `until`, and before that when the course changes.
  void rest(TimePoint until);
  void idle(TimePoint until);          // also when woken
  bool wait_settled(TimePoint until);  // also when the window is settled: then true
  void wait_room(TimePoint until);     // also when something came back
  template <class Condition>
  void wait(TimePoint until, Condition condition);

  Course course() const noexcept { return course_.load(std::memory_order_acquire); }
  bool going() const noexcept { return course() == Course::going; }
  // No more acknowledgements are waited for: a fault, or patience is over.
  bool hurried() const noexcept;
  // Until when a call to the database may take.
  TimePoint call_until() const noexcept;
  // The same for a call that may have to rewrite the whole backlog.
  TimePoint patient_until() const noexcept;

  void lead(bool leads);
  void report(FaultKind kind, std::string text);
  void work_on(db::Connection* connection);

  Parts parts_;
  std::minstd_rand random_;

  // Of the present start(); constant while the thread runs.
  Producer* producer_ = nullptr;
  Incarnation incarnation_ = 0;
  FaultSink* faults_ = nullptr;
  std::thread thread_;

  std::atomic<Course> course_{Course::going};
  std::atomic<bool> woken_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  Window window_;                         // with mutex_
  std::uint64_t came_back_ = 0;           // with mutex_
  bool wants_room_ = false;               // with mutex_
  bool finished_ = true;                  // with mutex_
  bool patient_ = false;                  // the relay's thread: the lease was not to be had in a call's usual time
  SetAside set_aside_;                    // the relay's thread
  db::Connection* connection_ = nullptr;  // with mutex_: for stop() to cut
  Patience* patience_ = nullptr;          // of stop(); set before course_ changes, valid until the thread has ended

  MeasuredGauge last_publish_;
  Gauge leads_gauge_;
  Counter published_, buried_, retries_;
};

// One connection's time with the relay.
class Session {
 public:
  Session(Relay::Inside& relay, db::Lease& lease);
  void run();  // until stop, or until the connection does not work any more

 private:
  enum class Step : std::uint8_t {
    go_on,
    lost,    // the lease is somebody else's now
    failed,  // the connection does not work any more
    old,     // the connection has reached its age
  };

  void work();
  // For a record that is not acknowledged for too long.
  enum class Blame : std::uint8_t { nobody, topic, broker };

  Result<std::optional<db::RelayLease>, db::SqlError> acquire();
  Result<std::optional<db::RelayLease>, db::SqlError> acquire_patiently();
  bool stand_by();
  void begin(const db::RelayLease& lease, TimePoint asked);
  Step lead();
  Step leave();
  Step round();
  Step housekeeping();
  Step minor_duties(TimePoint now);
  Step keep_lease();
  Step save();
  Step lend_a_look();
  Step publish(const db::Page& page);
  Step wave(const db::Page& page, std::size_t& sent);
  Step wait_granted();
  Step produce(const db::Page& page, std::size_t& sent);
  Step wait_home(const db::Page& page, std::size_t sent);
  Step settle(const db::Page& page);
  void tell_refused(const db::Page& page, const Window::Failure& failure);
  Step bury(const db::Page& page, const Window::Failure& failure);
  Step outage(const Window::Failure& failure, const db::OutboxRow& row);
  Step again(const Window::Failure& failure);
  bool may_produce() const;
  Blame blame(const db::Page& page, std::size_t sent);
  bool set_aside(const std::vector<std::string>& topics, const std::map<std::string, TopicTrouble>& troubles,
                 bool mute);
  const TopicTrouble* is_set_aside(const db::OutboxRow& row);
  void gather(std::size_t rows);
  void adapt(const db::Page& page);
  int page_rows() const noexcept;

  // Before each call to the database; after it.
  void allow();
  // A connection error ends the session; the caller looks at the outcome of its own statement, too. `doing`, for
  // people: "reading the outbox".
  template <class T>
  Step step(std::string_view doing, const Result<T, db::SqlError>& result) {
    return result ? Step::go_on : failed(doing, result.error());
  }
  Step failed(std::string_view doing, const db::SqlError& error);
  Step still_ours(std::string_view doing, const Result<bool, db::SqlError>& result, TimePoint asked);

  Relay::Inside& relay_;
  const RelayTuning& tuning_;
  db::Lease& lease_;
  db::Outbox outbox_;
  Producer* producer_;

  Tenure tenure_;
  TimePoint read_at_{}, read_before_{};
  TimePoint reclaim_at_{}, rotate_at_{};
  Duration poll_{};
  TimePoint blame_at_{};
  std::size_t settled_ = 0;    // of the page: acknowledged or buried, and counted
  std::size_t row_bytes_ = 0;  // on average, lately
  int grown_ = 0;              // rows of a page, growing from little
  HeaderReader header_reader_;
  Record record_;
};

}  // namespace ratchet::kafka
