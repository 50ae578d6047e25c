// What the pool does about calls that were given up (see Unfinished): it does not lend until it has looked what became
// of them, counts their backends against its size, and neither tries nor raises anything while commits hang.
#include <algorithm>

#include "levels/1_database/pool_inside.hpp"
#include "levels/core/runbook.hpp"

namespace ratchet::db {
namespace {

using std::chrono::milliseconds;

constexpr auto kPatience = milliseconds(750);  // of a look
constexpr auto kAgain = milliseconds(250);     // after one that failed, and while a raise waits
constexpr auto kLooks = std::chrono::seconds(1);
constexpr auto kBeforeTheEnd = milliseconds(500);  // of a raise's patience: its fault shall name what hangs

std::string alarm_id(const std::string& pool) { return "pool." + pool + ".hung"; }

}  // namespace

// ---- raising -------------------------------------------------------------------------------------------------------

// Not under the mutex, on the worker's thread; the connection's slot is on the list. Waits for commits that hang to
// end, which costs the server one question now and then, for as long as the raise has time.
std::optional<Fault> Pool::Inside::hindrance(Connection& connection, Patience& patience) {
  const std::string place = " (" + connection.where() + ")";
  const TimePoint begun = parts_.time.now();
  for (;;) {
    Lock lock(mutex_);
    unfinished_.ask();
    lock.unlock();
    const TimePoint until = std::min(patience.deadline(), parts_.time.now() + kPatience);
    connection.allow_until(until);
    bind(&connection, &patience);
    watch_until(until);
    const auto answer = connection.exec(Unfinished::question());
    bind(&connection, nullptr);
    const TimePoint now = parts_.time.now();
    if (!answer) {
      return Fault{1, 0, fault_kind(answer.error()), "cannot see what our sessions do: " + answer.error().text + place,
                   now};
    }
    lock.lock();
    const auto finding = judge_unfinished(*answer, true);
    if (finding.verdict == Unfinished::Verdict::clear) return std::nullopt;
    const bool young = finding.verdict == Unfinished::Verdict::young;
    if (young && now - begun >= Unfinished::kYoung + kAgain) return std::nullopt;  // others' work that goes on
    if (!young && patience.left(now) < kBeforeTheEnd) return Fault{1, 0, finding.kind, finding.text + place, now};
    const TimePoint next = now + kAgain;
    for (TimePoint at = now; at < next && !patience.over(at); at = parts_.time.now())
      came_home_.wait_until(lock, std::min(next, patience.nap(at)));
    if (patience.over(parts_.time.now())) return Fault{1, 0, finding.kind, finding.text + place, now};
  }
}

// ---- held ----------------------------------------------------------------------------------------------------------

void Pool::Inside::note_left(const Connection& connection) {
  if (!connection.left_call()) return;
  unfinished_.left(connection.backend(), connection.was_overdue());
  refill_.take(unfinished_.taken());
  look_at_ = parts_.time.now();
  opener_.notify_all();
}

// Those that work, and those that were lost under a call whose user has not come home with them yet: nothing may be
// opened in their place before it is known what they have left.
int Pool::Inside::present() const noexcept {
  return static_cast<int>(std::count_if(slots_.begin(), slots_.end(), [](const auto& slot) {
    const Connection& connection = *slot->connection;
    const bool lost = slot->dead || connection.broken() || connection.was_cut();
    return slot->use != Use::joining && (!lost || connection.in_call() || connection.left_call());
  }));
}

// Empty as well where there is no connection to ask with: the next one that comes home or is opened wakes the opener.
std::optional<TimePoint> Pool::Inside::next_unfinished_look() noexcept {
  if (phase_ != Phase::open || unfinished_.count() == 0 || free_slot(true) == nullptr) return std::nullopt;
  return look_at_;
}

void Pool::Inside::look_at_unfinished(Lock& lock) {
  const std::uint64_t mine = generation_;
  auto connection = take(*free_slot(true), Use::probing);
  unfinished_.ask();
  lock.unlock();
  const TimePoint until = parts_.time.now() + kPatience;
  connection->allow_until(until);
  watch_until(until);
  const auto answer = connection->exec(Unfinished::question());
  const std::string place = " (" + connection->where() + ")";
  give_back(std::move(connection));
  lock.lock();
  if (mine != generation_ || phase_ != Phase::open) return;
  look_at_ = parts_.time.now() + (answer ? Duration(kLooks) : Duration(kAgain));
  if (answer) {
    const auto finding = judge_unfinished(*answer, false);
    if (finding.verdict == Unfinished::Verdict::hung) lose(fault_of(finding.kind, finding.text + place));
    hand_out();
  } else if (answer.error().kind == SqlError::Kind::said) {
    lose(fault_of(fault_kind(answer.error()), "cannot see what our sessions do: " + answer.error().text + place));
  }
}

Unfinished::Finding Pool::Inside::judge_unfinished(const Rows& rows, bool raising) {
  std::vector<Activity> found;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto backend = static_cast<int>(rows.integer(i, 0));
    const bool in_use = std::any_of(slots_.begin(), slots_.end(),
                                    [&](const auto& slot) { return slot->connection->backend() == backend; });
    if (in_use) continue;
    Activity one;
    one.backend = backend;
    one.wait_type = rows.text(i, 1);
    one.wait_event = rows.text(i, 2);
    if (!rows.is_null(i, 3)) one.age = milliseconds(rows.integer(i, 3));
    one.idle = rows.boolean(i, 4);
    one.writes = rows.boolean(i, 5);
    found.push_back(std::move(one));
  }
  auto finding = unfinished_.judge(found, raising);
  refill_.take(unfinished_.taken());
  show();
  tell_unfinished(finding);
  return finding;
}

void Pool::Inside::tell_unfinished(const Unfinished::Finding& finding) {
  hangs_ = finding.text;
  if (hangs_.empty()) {
    parts_.alarms.clear(alarm_id(settings_.name));
  } else {
    parts_.alarms.set(alarm_id(settings_.name), "database " + settings_.name + ": " + hangs_ + " (" + where_ + ")",
                      runbook(finding.kind));
  }
}

// Whoever waits gets what is free, first come, first served.
void Pool::Inside::hand_out() {
  if (unfinished_.doubtful()) return;
  while (!waiting_.empty()) {
    Slot* const slot = free_slot(false);
    if (slot == nullptr) return;
    Waiter& first = *waiting_.front();
    waiting_.pop_front();
    first.given = take(*slot, Use::lent);
    first.woken.notify_one();
  }
}

}  // namespace ratchet::db
