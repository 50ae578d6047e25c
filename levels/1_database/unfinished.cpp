#include "levels/1_database/unfinished.hpp"

#include <algorithm>

namespace ratchet::db {
namespace {

constexpr std::string_view kQuestion =
    "select a.pid, coalesce(a.wait_event_type, ''), coalesce(a.wait_event, ''),"
    " (1000 * extract(epoch from pg_catalog.clock_timestamp() - a.state_change))::bigint,"
    " coalesce(a.state, '') like 'idle%', a.backend_xid is not null"
    " from pg_catalog.pg_stat_activity a join pg_catalog.pg_stat_activity me"
    " on a.usesysid = me.usesysid and a.application_name = me.application_name and a.datid = me.datid"
    " where me.pid = pg_catalog.pg_backend_pid() and a.pid <> me.pid";

bool is_disk(const Activity& activity) noexcept {
  return activity.wait_type == "IO" || (activity.wait_type == "LWLock" && activity.wait_event.starts_with("WAL"));
}

// So many connections are needed at least: for the committer, the relay and the probe.
int least(int size) noexcept { return std::clamp(size - 1, 1, 3); }

std::string waits_for(const Activity& activity) {
  const std::string event = " (" + activity.wait_event + ")";
  switch (hung_on(activity)) {
    case FaultKind::standby_away:
      return "a synchronous standby" + event;
    case FaultKind::disk_stuck:
      return "its disk" + event;
    case FaultKind::locked:
      return "a lock" + event;
    default:
      return activity.wait_event.empty() ? "something that it does not tell" : "something else" + event;
  }
}

// What hangs, and of several the one that explains most.
struct Group {
  int count = 0;
  const Activity* chief = nullptr;
  void add(const Activity& one) {
    ++count;
    const auto weight = [](const Activity& activity) {
      const FaultKind on = hung_on(activity);
      return on == FaultKind::standby_away ? 3 : on == FaultKind::disk_stuck ? 2 : on == FaultKind::locked ? 1 : 0;
    };
    if (chief == nullptr || weight(one) > weight(*chief)) chief = &one;
  }
  // The same words as long as the same ones hang: an alarm's text is no clock.
  std::string described(std::string_view noun) const {
    const std::string what(noun);
    return (count == 1 ? "a " + what + " hangs" : std::to_string(count) + " " + what + "s hang") +
           " in the server, which waits for " + waits_for(*chief) + " in backend " + std::to_string(chief->backend);
  }
};

bool may_hang(FaultKind on) noexcept { return on == FaultKind::standby_away || on == FaultKind::disk_stuck; }

}  // namespace

FaultKind hung_on(const Activity& activity) noexcept {
  if (activity.wait_event == "SyncRep") return FaultKind::standby_away;
  if (is_disk(activity)) return FaultKind::disk_stuck;
  if (activity.wait_type == "Lock") return FaultKind::locked;
  return FaultKind::timed_out;
}

std::string_view Unfinished::question() noexcept { return kQuestion; }

Unfinished::Unfinished(int size, Duration statement) noexcept : size_(size), statement_(statement) {}

Unfinished::Left* Unfinished::find(int backend) noexcept {
  const auto at = std::find_if(all_.begin(), all_.end(), [&](const Left& left) { return left.backend == backend; });
  return at == all_.end() ? nullptr : &*at;
}

void Unfinished::left(int backend, bool overdue) {
  if (Left* known = find(backend))
    *known = {backend, overdue};  // the number was given anew
  else
    all_.push_back({backend, overdue});
}

bool Unfinished::doubtful() const noexcept {
  return std::any_of(all_.begin(), all_.end(), [](const Left& left) { return !left.known; });
}

int Unfinished::working() const noexcept {
  return static_cast<int>(
      std::count_if(all_.begin(), all_.end(), [](const Left& left) { return left.known && !left.idle; }));
}

int Unfinished::taken() const noexcept {
  return std::min(static_cast<int>(all_.size()), std::max(0, size_ - least(size_)));
}

void Unfinished::ask() noexcept {
  for (Left& left : all_)
    left.asked = true;
}

// A call that was cut before its time (a fall, a relay that stops) may be about to end, whatever it was doing in that
// moment: what counts is how long the server has been at it.
bool Unfinished::commit_hangs(const Activity& activity, bool overdue) const noexcept {
  if (activity.idle) return false;
  const auto since = [&](Duration least) { return !activity.age || *activity.age >= least; };
  return (may_hang(hung_on(activity)) && since(kYoung)) || (overdue && activity.writes && since(statement_));
}

void Unfinished::forget_ended(const std::vector<Activity>& found) {
  const auto ended = [&](const Left& left) {
    return left.asked &&
           std::none_of(found.begin(), found.end(), [&](const Activity& one) { return one.backend == left.backend; });
  };
  all_.erase(std::remove_if(all_.begin(), all_.end(), ended), all_.end());
}

Unfinished::Finding Unfinished::judge(const std::vector<Activity>& found, bool raising) {
  forget_ended(found);
  Group commits, calls;
  bool young = false;
  for (const Activity& one : found) {
    Left* left = find(one.backend);
    if (left == nullptr && !raising) continue;
    const bool hangs = commit_hangs(one, left != nullptr && left->overdue);
    const bool old = !one.idle && (!one.age || *one.age > statement_ + kYoung);
    young = young || (!hangs && !one.idle && may_hang(hung_on(one)));
    if (hangs) commits.add(one);
    if (old) calls.add(one);
    if (left == nullptr && (hangs || old)) left = &all_.emplace_back(Left{one.backend, false, true});
    if (left == nullptr) continue;
    left->known = left->known || left->asked;
    left->idle = one.idle;
  }
  Finding finding;
  if (commits.count > 0) {
    finding = {Verdict::hung, hung_on(*commits.chief), commits.described("commit")};
  } else if (calls.count > 0) {
    finding = {Verdict::clear, hung_on(*calls.chief), calls.described("call")};
  }
  if (commits.count == 0 && size_ - working() < least(size_)) {
    finding.verdict = Verdict::hung;
    finding.text += (finding.text.empty() ? "" : "; ") + std::string("calls that were given up take ") +
                    std::to_string(working()) + " of " + std::to_string(size_) + " connections";
  } else if (commits.count == 0 && raising && young) {
    finding.verdict = Verdict::young;
  }
  return finding;
}

}  // namespace ratchet::db
