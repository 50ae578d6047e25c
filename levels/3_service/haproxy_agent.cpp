#include "levels/3_service/haproxy_agent.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
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
constexpr milliseconds kRest{100};

// An IPv6 socket sees IPv4 as ::ffff:10.0.0.1; to us that is one address.
std::string text_of(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (address.ss_family == AF_INET) {
    bytes = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  } else if (address.ss_family == AF_INET6) {
    bytes = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  }
  if (bytes == nullptr || ::inet_ntop(address.ss_family, bytes, text.data(), text.size()) == nullptr) return "unknown";
  return text.data();
}

}  // namespace

void AgentWords::change(Mode mode) {
  if (mode == mode_) return;
  mode_ = mode;
  for (auto& [from, poller] : pollers_)
    poller.polls = 0;
}

std::string AgentWords::poll(const std::string& from, TimePoint now) {
  if (pollers_.size() >= kMostPollers && pollers_.count(from) == 0) {
    pollers_.erase(std::min_element(pollers_.begin(), pollers_.end(),
                                    [](const auto& a, const auto& b) { return a.second.last < b.second.last; }));
  }
  const auto [at, is_new] = pollers_.try_emplace(from);
  Poller& poller = at->second;
  if (!is_new && now - poller.last <= kForgotten) {
    poller.interval = std::max<Duration>(now - poller.last, poller.interval - poller.interval / 4);
  }
  poller.last = now;
  poller.polls = std::min(poller.polls + 1, kPollsWithReady + 1);
  switch (mode_) {
    case Mode::draining:
      return "drain 0%\n";
    case Mode::down:
      return "down\n";
    case Mode::here:
      break;
  }
  return poller.polls <= kPollsWithReady ? "ready up 100%\n" : "up 100%\n";
}

bool AgentWords::all_know(TimePoint now) const {
  if (pollers_.empty()) return now - since_ >= kFirstPoll;
  return std::all_of(pollers_.begin(), pollers_.end(), [now](const auto& one) {
    const Poller& poller = one.second;
    const Duration belief = std::clamp<Duration>(3 * poller.interval, kLeastBelief, kForgotten);
    return poller.polls > 0 || now - poller.last > belief;
  });
}

HaproxyAgent::HaproxyAgent(const std::string& name, const ListenAddress& listen, const TimeSource& time, Log& log,
                           AlarmBoard& alarms, std::function<bool()> port_survived)
    : alarm_("registrar." + name + ".port"),
      listen_(listen),
      time_(time),
      log_(log),
      alarms_(alarms),
      port_survived_(std::move(port_survived)),
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
    const bool accepts = listener_ >= 0 && guests_.size() < kMostGuests && now >= accept_at_;
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
  while (guests_.size() < kMostGuests) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const int fd = ::accept4(listener_, reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (http::is_out_of_files(errno)) accept_at_ = now + kRest;
      return;  // nobody, or nothing to be had just now
    }
    serve(fd, text_of(from));
  }
}

// The line at once, whatever HAProxy sends (agent-send): closing with that unread would take our line back, so its end
// is read for a while.
void HaproxyAgent::serve(int fd, const std::string& from) {
  std::string line;
  {
    const std::lock_guard lock(mutex_);
    if (told_ || !port_survived_()) line = words_.poll(from, time_.now());
  }
  if (::send(fd, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
    ::close(fd);
    return;
  }
  ::shutdown(fd, SHUT_WR);
  guests_.push_back({fd, time_.now() + kLinger});
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
