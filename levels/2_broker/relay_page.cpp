// Session: one page on its way, from the outbox to the broker's word for it.
#include <algorithm>
#include <utility>

#include "levels/2_broker/relay_inside.hpp"
#include "levels/2_broker/verdict.hpp"

namespace ratchet::kafka {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLookEvery = 64;                            // records between two looks at the clock
constexpr std::size_t kPageBytes = std::size_t{8} * 1024 * 1024;  // of one page, as far as the average tells
constexpr auto kAckLook = 50ms;
constexpr auto kRoomLook = 10ms;
constexpr auto kRetry = 250ms;
constexpr auto kOutageRest = 2s;  // until the ladder takes the level down
constexpr auto kSlow = 3s;        // for an acknowledgement
constexpr auto kTakeBack = 5s;
constexpr auto kBlame = 1s;        // between two questions whether a topic is at fault
constexpr int kMute = 3;           // times RelayTuning::unacknowledged, where it does not seem to be
constexpr int kBadHeaders = -186;  // _INVALID_ARG
constexpr int kTimedOut = 7;       // REQUEST_TIMED_OUT
constexpr std::string_view kDeadLettersFull = "53400";
constexpr std::string_view kFullRemedy = "Replay or discard dead letters; nothing is ever dropped by itself.";

}  // namespace

Session::Step Session::round() {
  if (Step done = housekeeping(); done != Step::go_on) return done;
  if (relay_.paused_) {
    relay_.idle(relay_.now() + tuning_.poll_most);
    return Step::go_on;
  }
  read_before_ = std::exchange(read_at_, relay_.now());
  allow();
  auto page = outbox_.read(tenure_.done(), page_rows());
  if (Step done = step("reading the outbox", page); done != Step::go_on) return done;
  if (!page->rows.empty()) {
    poll_ = tuning_.poll_least;
    adapt(*page);
    Step done = publish(*page);
    if (done == Step::go_on && !tenure_.careful()) gather(page->rows.size());
    return done;
  }
  if (tenure_.pass(*page)) return Step::go_on;
  relay_.watch_.found_none();
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
  const std::size_t bytes = std::min(kPageBytes, producer_->granted());
  int fitting = row_bytes_ == 0 ? tuning_.page : static_cast<int>(bytes / row_bytes_);
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
  settled_ = 0;
  for (std::size_t sent = 0;;) {
    for (bool whole = true; whole && sent < page.rows.size();) {
      const std::size_t before = sent;
      if (Step done = wave(page, sent); done != Step::go_on) {
        producer_->purge();
        return done;
      }
      std::lock_guard lock(relay_.mutex_);
      whole = sent > before && relay_.window_.acknowledged() == sent && !relay_.window_.failure();
    }
    if (Step done = settle(page); done != Step::go_on) return done;
    // A record that was never sent is in the dead letters: the rest of the page is as good as it was.
    if (settled_ <= sent || settled_ == page.rows.size() || !relay_.going() || !may_produce()) return Step::go_on;
    sent = settled_;
  }
}

// As many as are one batch of each partition, sent and seen home.
Session::Step Session::wave(const db::Page& page, std::size_t& sent) {
  if (Step done = wait_granted(); done != Step::go_on) return done;
  if (relay_.now() < producer_->quiet_until()) return Step::go_on;  // leaving: the rest stays in the outbox
  producer_->resume();
  Step done = produce(page, sent);
  producer_->send();
  {
    std::lock_guard lock(relay_.mutex_);
    relay_.window_.sent(sent);
  }
  return done == Step::go_on ? wait_home(page, sent) : done;
}

// What is sent while a quota holds us back would lie unread, and look lost.
Session::Step Session::wait_granted() {
  for (TimePoint until = producer_->quiet_until(); relay_.going() && relay_.now() < until;
       until = producer_->quiet_until()) {
    relay_.rest(std::min({until, relay_.now() + kAckLook, tenure_.beat_at()}));
    if (Step done = keep_lease(); done != Step::go_on) return done;
  }
  return Step::go_on;
}

Session::Step Session::produce(const db::Page& page, std::size_t& sent) {
  const std::size_t first = sent;
  for (std::size_t weight = 0; sent < page.rows.size(); ++sent) {
    if (sent % kLookEvery == 0 && !may_produce()) break;
    const db::OutboxRow& row = page.rows[sent];
    if (const TopicTrouble* trouble = is_set_aside(row)) {
      std::lock_guard lock(relay_.mutex_);
      relay_.window_.refused(sent, trouble->code, trouble->text);
      break;
    }
    if (!header_reader_.read(row.headers, record_.headers)) {
      std::lock_guard lock(relay_.mutex_);
      relay_.window_.refused(sent, kBadHeaders, "the headers are not a JSON object");
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
      if (!may_produce() || blame(page, sent) != Blame::nobody) return Step::go_on;
    }
  }
  return Step::go_on;
}

Session::Step Session::wait_home(const db::Page& page, std::size_t sent) {
  const TimePoint begun = relay_.now();
  std::optional<TimePoint> taken_back;
  for (bool told = false;;) {
    TimePoint look = std::min(relay_.now() + kAckLook, tenure_.beat_at());
    if (relay_.wait_settled(look)) return Step::go_on;
    const Blame guilty = taken_back ? Blame::nobody : blame(page, sent);
    if (relay_.hurried() || guilty == Blame::broker) {
      producer_->purge();
      return Step::go_on;  // what has come back counts, and nothing more
    }
    if (guilty == Blame::topic) {
      producer_->purge();
      taken_back = relay_.now();  // and waited for: what is still under way would make the next wave look old
    }
    if (taken_back && relay_.now() - *taken_back > kTakeBack) {
      relay_.report(FaultKind::timed_out, "records that were taken back do not come");
      return Step::go_on;
    }
    if (!told && relay_.now() - begun >= kSlow) {
      relay_.watch_.hindered({"Kafka does not acknowledge what was sent", "See whether all brokers are well."});
      told = true;
    }
    if (Step done = keep_lease(); done != Step::go_on) return done;
  }
}

// A topic that no route requires is not the broker's fault: see whether it is at fault itself.
Session::Blame Session::blame(const db::Page& page, std::size_t sent) {
  auto oldest = producer_->oldest_in_flight();
  if (oldest) oldest = std::max(*oldest, producer_->quiet_until());
  const TimePoint now = relay_.now();
  if (!oldest || now - *oldest <= tuning_.unacknowledged || now < blame_at_) return Blame::nobody;
  std::vector<std::string> topics;
  {
    std::lock_guard lock(relay_.mutex_);
    for (const std::size_t index : relay_.window_.missing(sent))
      topics.push_back(page.rows[index].topic);
  }
  std::sort(topics.begin(), topics.end());
  topics.erase(std::unique(topics.begin(), topics.end()), topics.end());
  const bool required =
      std::any_of(topics.begin(), topics.end(), [&](const auto& topic) { return producer_->requires_topic(topic); });
  if (!required && !topics.empty()) {
    blame_at_ = now + kBlame;
    auto troubles = producer_->troubles(topics);
    if (troubles) {
      const bool mute = now - *oldest > kMute * tuning_.unacknowledged;
      return set_aside(topics, *troubles, mute) ? Blame::topic : Blame::nobody;
    }
  }
  auto waited = std::chrono::duration_cast<std::chrono::seconds>(tuning_.unacknowledged).count();
  relay_.report(FaultKind::timed_out, "no acknowledgement for " + std::to_string(waited) + " s");
  return Blame::broker;
}

// False: the broker sees nothing wrong with any of them, so that they deserve more time.
bool Session::set_aside(const std::vector<std::string>& topics, const std::map<std::string, TopicTrouble>& troubles,
                        bool mute) {
  for (const auto& topic : topics) {
    auto found = troubles.find(topic);
    if (found == troubles.end() && !mute) continue;
    TopicTrouble trouble =
        found != troubles.end() ? found->second : TopicTrouble{kTimedOut, "no acknowledgement", {}, 0, true};
    relay_.parts_.log.warning("relay: a topic takes no record, what is meant for it goes to the dead letters",
                              {{"topic", topic}, {"reason", trouble.text}});
    relay_.set_aside_.put(topic, std::move(trouble), relay_.now());
  }
  return mute || !troubles.empty();
}

const TopicTrouble* Session::is_set_aside(const db::OutboxRow& row) {
  SetAside& aside = relay_.set_aside_;
  const TopicTrouble* trouble = aside.find(row.topic, row.key);
  if (trouble == nullptr || !aside.due(relay_.now())) return trouble;
  auto troubles = producer_->troubles(aside.names());
  for (const auto& topic : aside.told(troubles ? &*troubles : nullptr, relay_.now()))
    relay_.parts_.log.notice("relay: a topic takes records again", {{"topic", topic}});
  return aside.find(row.topic, row.key);
}

Session::Step Session::settle(const db::Page& page) {
  std::size_t acknowledged = 0;
  std::optional<Window::Failure> failure;
  {
    std::lock_guard lock(relay_.mutex_);
    acknowledged = relay_.window_.acknowledged();
    failure = relay_.window_.failure();
  }
  if (acknowledged > settled_) {
    relay_.published_.add(static_cast<double>(acknowledged - settled_));
    settled_ = acknowledged;
    relay_.last_publish_.set(std::chrono::duration<double>(relay_.parts_.time.wall().time_since_epoch()).count());
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

// ---- what went wrong ---------------------------------------------------------------------------------------------

void Session::tell_refused(const db::Page& page, const Window::Failure& failure) {
  const db::OutboxRow& row = page.rows[failure.index];
  relay_.parts_.log.notice("relay: a record was refused, going on one by one",
                           {{"topic", row.topic}, {"seq", std::to_string(row.seq)}, {"reason", failure.text}});
}

Session::Step Session::bury(const db::Page& page, const Window::Failure& failure) {
  const db::OutboxRow& row = page.rows[failure.index];
  const db::Cursor past = db::cursor_after(tenure_.done(), page, failure.index + 1);
  TimePoint asked = relay_.now();
  allow();
  auto buried = outbox_.bury(tenure_.epoch(), tuning_.ttl, past, row, std::to_string(failure.code), failure.text);
  if (!buried && buried.error().sqlstate == kDeadLettersFull) {
    relay_.parts_.alarms.set(relay_.alarm_id("dead-letters.full"),
                             "the dead letters are full: the relay waits, nothing is published", kFullRemedy);
    relay_.watch_.hindered({"the dead letters are full", std::string(kFullRemedy), false, true});
    relay_.rest(relay_.now() + kOutageRest);
    return Step::go_on;
  }
  if (Step done = still_ours("putting an event into the dead letters", buried, asked); done != Step::go_on) return done;
  relay_.parts_.alarms.clear(relay_.alarm_id("dead-letters.full"));
  tenure_.buried(past, row.seq, asked);
  settled_ = failure.index + 1;
  {
    std::lock_guard lock(relay_.mutex_);
    relay_.window_.passed(failure.index);
  }
  relay_.buried_.add();
  relay_.watch_.carried();
  relay_.watch_.buried("topic \"" + row.topic + "\": " + failure.text);
  relay_.watch_.look_soon();  // the alarm comes at once
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
  relay_.retries_.add();
  relay_.parts_.log.info("relay: page not taken, again", {{"reason", failure.text}});
  relay_.watch_.hindered(
      {"Kafka refuses the oldest event again and again: " + failure.text, "See the brokers' own log for why."});
  relay_.rest(relay_.now() + kRetry);
  return Step::go_on;
}

}  // namespace ratchet::kafka
