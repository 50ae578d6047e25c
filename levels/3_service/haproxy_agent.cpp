#include "levels/3_service/haproxy_agent.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "levels/0_baseline/listener.hpp"
#include "levels/0_baseline/thread.hpp"
#include "levels/3_service/socket_address.hpp"

namespace ratchet::service {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned kPollsWithReady = 3;
constexpr std::size_t kMostPollers = 256;
constexpr std::size_t kMostGuests = 64;
constexpr seconds kLinger{1};
constexpr seconds kForgotten{60};
constexpr seconds kLeastBelief{3};
constexpr seconds kOpenAgain{1};
constexpr seconds kFirstPoll{3};
constexpr unsigned kRegular = 6;
constexpr milliseconds kRest{100};

}  // namespace

void AgentWords::change(Mode mode) {
  if (mode == mode_) return;
  mode_ = mode;
  for (auto& [from, poller] : pollers_)
    poller.polls = 0;
}

Duration AgentWords::Poller::belief() const noexcept {
  return std::clamp<Duration>(3 * interval, kLeastBelief, kForgotten);
}

// Null: there is no room among listed ones.
AgentWords::Poller* AgentWords::find_or_add(const std::string& from, bool listed, TimePoint now) {
  if (const auto known = pollers_.find(from); known != pollers_.end()) {
    Poller& poller = known->second;
    const Duration gap = now - poller.last;
    if (gap > poller.belief()) poller.row = 0;
    if (gap <= kForgotten) poller.interval = std::max<Duration>(gap, poller.interval - poller.interval / 4);
    return &poller;
  }
  if (pollers_.size() >= kMostPollers) {
    const auto least = std::min_element(pollers_.begin(), pollers_.end(), [](const auto& a, const auto& b) {
      return a.second.listed != b.second.listed ? b.second.listed : a.second.last < b.second.last;
    });
    if (least->second.listed && !listed) return nullptr;
    pollers_.erase(least);
  }
  Poller& added = pollers_[from];
  added.listed = listed;
  return &added;
}

std::string AgentWords::poll(const std::string& from, bool listed, TimePoint now) {
  unsigned polls = kPollsWithReady + 1;  // who cannot be remembered is not told `ready`, or it would be for ever
  if (Poller* const poller = find_or_add(from, listed, now)) {
    poller->last = now;
    poller->row = std::min(poller->row + 1, kRegular);
    polls = poller->polls = std::min(poller->polls + 1, kPollsWithReady + 1);
  }
  switch (mode_) {
    case Mode::draining:
      return "drain 0%\n";
    case Mode::down:
      return "down\n";
    case Mode::here:
      break;
  }
  return polls <= kPollsWithReady ? "ready up 100%\n" : "up 100%\n";
}

bool AgentWords::all_know(TimePoint now) const {
  const bool any_listed = std::any_of(pollers_.begin(), pollers_.end(), [now](const auto& one) {
    return one.second.listed && now - one.second.last <= kForgotten;
  });
  bool any = false;
  for (const auto& [from, poller] : pollers_) {
    if (!poller.listed && (any_listed || poller.row < kRegular)) continue;
    any = true;
    if (poller.polls == 0 && now - poller.last <= poller.belief()) return false;
  }
  return any || now - since_ >= kFirstPoll;
}

HaproxyAgent::HaproxyAgent(const std::string& name, const ListenAddress& listen, const TimeSource& time, Log& log,
                           AlarmBoard& alarms, std::function<bool()> port_survived, Networks balancers)
    : alarm_("registrar." + name + ".port"),
      listen_(listen),
      time_(time),
      log_(log),
      alarms_(alarms),
      port_survived_(std::move(port_survived)),
      balancers_(std::move(balancers)),
      words_(time.now()),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (const auto missing = start_thread(thread_, "haproxy-agent", [this] { run(); }))
    trouble_ = "no thread: " + *missing;
}

HaproxyAgent::~HaproxyAgent() {
  stopping_ = true;
  const std::uint64_t one = 1;
  if (wake_ >= 0 && ::write(wake_, &one, sizeof one) < 0)
    log_.warning("agent not woken", {{"why", std::strerror(errno)}});
  if (thread_.joinable()) thread_.join();
  for (const Guest& guest : guests_)
    ::close(guest.fd);
  if (listener_ >= 0) ::close(listener_);
  if (wake_ >= 0) ::close(wake_);
  alarms_.clear(alarm_);
}

Told HaproxyAgent::tell(Verb verb, Leave leave, Patience&) {
  const std::lock_guard lock(mutex_);
  told_ = true;
  switch (verb) {
    case Verb::register_:
    case Verb::heartbeat:
      words_.change(AgentWords::Mode::here);
      if (!trouble_.empty()) return {Told::Word::again, trouble_};
      break;
    case Verb::drain:
    case Verb::deregister:
      words_.change(leave == Leave::asked ? AgentWords::Mode::draining : AgentWords::Mode::down);
      break;
    case Verb::status:
      if (!words_.all_know(time_.now())) return {Told::Word::again, "not everybody has asked since"};
      break;
  }
  return {};
}

void HaproxyAgent::run() {
  while (!stopping_) {
    const TimePoint now = time_.now();
    if (listener_ < 0 && now >= open_at_ && !open()) open_at_ = now + kOpenAgain;
    const bool accepts = listener_ >= 0 && now >= accept_at_;
    std::vector<pollfd> fds{{wake_, POLLIN, 0}};
    if (accepts) fds.push_back({listener_, POLLIN, 0});
    for (const Guest& guest : guests_)
      fds.push_back({guest.fd, POLLIN, 0});
    const bool waits = !accepts || !guests_.empty();
    ::poll(fds.data(), fds.size(), waits ? 100 : 1000);
    if (accepts) accept_all(now);
    mind_guests();
  }
}

bool HaproxyAgent::open() {
  std::string why;
  listener_ = listen_on(listen_, why);
  if (listener_ < 0) {
    why = "cannot listen on " + to_string(listen_) + ": " + why;
    alarms_.set(alarm_, why, "Free the port, or change the registrar's `listen` and HAProxy's agent-port.");
  } else {
    alarms_.clear(alarm_);
  }
  const std::lock_guard lock(mutex_);
  trouble_ = why;
  return listener_ >= 0;
}

void HaproxyAgent::accept_all(TimePoint now) {
  for (std::size_t i = 0; i < kMostGuests; ++i) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (http::is_out_of_files(errno)) accept_at_ = now + kRest;
      return;  // nobody, or nothing to be had just now
    }
    serve(fd);
  }
}

bool HaproxyAgent::make_room(bool listed) {
  if (guests_.size() < kMostGuests) return true;
  auto oldest = std::find_if(guests_.begin(), guests_.end(), [](const Guest& guest) { return !guest.listed; });
  if (oldest == guests_.end()) oldest = listed ? guests_.begin() : guests_.end();
  if (oldest == guests_.end()) return false;
  ::close(oldest->fd);
  guests_.erase(oldest);
  return true;
}

// The line at once, whatever HAProxy sends (agent-send): closing with that unread would take our line back, so its end
// is read for a while.
void HaproxyAgent::serve(int fd) {
  const auto peer = http::peer_of(fd);
  const std::string from(peer ? peer->view() : "unknown");
  const bool listed = balancers_.contain(from);
  if (!make_room(listed)) {
    ::close(fd);
    return;
  }
  const TimePoint now = time_.now();
  std::string line;
  {
    const std::lock_guard lock(mutex_);
    if (told_ || !port_survived_()) line = words_.poll(from, listed, now);
  }
  if (!listed && unlisted_.is_due(from, now)) {
    log_.notice(
        "an agent-check from an address that is not listed is not waited for",
        {{"address", from}, {"key", "service.balancers"}, {"others", std::to_string(unlisted_.take_left_out())}});
  }
  if (::send(fd, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
    ::close(fd);
    return;
  }
  ::shutdown(fd, SHUT_WR);
  guests_.push_back({fd, listed, now + kLinger});
}

void HaproxyAgent::mind_guests() {
  const TimePoint now = time_.now();
  std::erase_if(guests_, [now](const Guest& guest) {
    std::array<char, 512> dropped;
    ssize_t n = 0;
    while ((n = ::recv(guest.fd, dropped.data(), dropped.size(), 0)) > 0) {
    }
    const bool waits = n < 0 && (errno == EAGAIN || errno == EINTR);
    if (waits && now < guest.until) return false;
    ::close(guest.fd);
    return true;
  });
}

}  // namespace ratchet::service
