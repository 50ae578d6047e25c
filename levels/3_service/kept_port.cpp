#include "levels/3_service/kept_port.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "levels/3_service/pause.hpp"
#include "levels/3_service/problem.hpp"

namespace ratchet::service {

namespace {

using std::chrono::seconds;

constexpr seconds kExpected{10};       // from the announcement to the stop
constexpr seconds kQuiet{1};           // for the request of who has been accepted
constexpr seconds kLongestRefusal{3};  // then the rest is cut
constexpr seconds kForRefuser{3};      // a raise waits for the port to be free

}  // namespace

// Tells everybody in the queue the same, closes the port, and ends. A reactor of its own, so that the control thread
// only has to look at it.
class KeptPort::Refuser final : public http::Service {
 public:
  Refuser(int fd, const HttpLimits& limits, std::string answer, const TimeSource& time, Log& log, Metrics& metrics)
      : reactor_({"refuser", limits}, *this, time, log, metrics), since_(time.now()) {
    reactor_.refuse_all(std::move(answer));
    if (auto adopted = reactor_.adopt(fd); !adopted)
      log.warning("the kept port could not be answered", {{"reason", adopted.error().text}});
    reactor_.close_port();
  }
  bool port_closed() const noexcept { return reactor_.port_closed(); }
  bool done(TimePoint now) {
    if (!reactor_.port_closed()) return false;
    if (now - since_ >= kQuiet) reactor_.finish_idle();
    return reactor_.counts().open.load() == 0 || now - since_ >= kLongestRefusal;
  }

  // Everybody is refused before.
  http::Served serve(http::Reactor& reactor, const http::Request& request) override {
    reactor.abandon(request.ticket);
    return http::Served::answered;
  }
  void expired(http::Reactor& reactor, http::Ticket ticket) override { reactor.abandon(ticket); }
  std::string refusal_body(const http::Refusal& refusal) override { return to_json(refusal); }

 private:
  http::Reactor reactor_;
  const TimePoint since_;
};

KeptPort::KeptPort(Parts parts, const std::vector<Inherited>& inherited)
    : parts_(std::move(parts)),
      since_(parts_.time.now()),
      restart_expected_((TimePoint::min)().time_since_epoch().count()) {
  bool foreign = false;
  for (const auto& [fd, name] : inherited) {
    const bool wanted = name == kName && !ours_.is_open() && http::Listener::listens_on(fd, parts_.listen);
    auto adopted = wanted ? http::Listener::adopt(fd, since_) : Result<http::Listener>(Fault{});
    if (adopted) {
      ours_ = *std::move(adopted);
      inherited_ = survived_ = true;
      continue;
    }
    if (!wanted) ::close(fd);
    foreign = true;
    parts_.log.warning("an inherited socket is not service.listen: closed",
                       {{"name", name}, {"listen", to_string(parts_.listen)}});
  }
  if (foreign) parts_.store.remove();
  if (!inherited_) return;
  if (foreign) parts_.store.store(ours_.fd());
  parts_.log.notice("the port was kept over a restart", {{"listen", to_string(parts_.listen)}});
}

KeptPort::~KeptPort() {
  if (!is_restart()) forget();
}

Result<int> KeptPort::open() {
  Patience patience(parts_.time.now() + kForRefuser);
  const auto free = [this] {
    const std::lock_guard lock(mutex_);
    return !refuser_ || refuser_->port_closed();
  };
  wait_for(free, patience.deadline(), parts_.time, patience);
  const std::lock_guard lock(mutex_);
  const TimePoint now = parts_.time.now();
  inherited_ = left_ = false;
  if (!ours_.is_open()) {
    auto opened = http::Listener::open(parts_.listen, now);
    if (!opened) return std::move(opened).error();
    ours_ = *std::move(opened);
  }
  const int own = ::fcntl(ours_.fd(), F_DUPFD_CLOEXEC, 0);
  if (own < 0)
    return Fault{0, 0, FaultKind::out_of_files, "cannot open the port: " + std::generic_category().message(errno), now};
  parts_.store.store(ours_.fd());
  return own;
}

Result<Nothing> KeptPort::open_on(http::Reactor& reactor) {
  const auto socket = open();
  if (!socket) return socket.error();
  return reactor.adopt(*socket);
}

void KeptPort::forget() {
  const std::lock_guard lock(mutex_);
  if (left_ || !ours_.is_open()) return;
  parts_.store.remove();
  ours_.close();
  inherited_ = survived_ = false;
}

void KeptPort::leave() {
  const std::lock_guard lock(mutex_);
  ours_.close();
  left_ = true;
}

bool KeptPort::is_restart() const {
  const TimePoint announced{Duration(restart_expected_.load())};
  if (announced == (TimePoint::min)() || !parts_.store.exists()) return false;
  return parts_.time.now() - announced <= kExpected && parts_.exiting();
}

void KeptPort::expect_restart() noexcept { restart_expected_ = parts_.time.now().time_since_epoch().count(); }

void KeptPort::turn(TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (refuser_ && refuser_->done(now)) refuser_.reset();
  if (inherited_ && now - since_ >= parts_.hold && !parts_.exiting()) refuse();
}

// The stored one first: the last descriptor is the one whose queue is swept.
void KeptPort::refuse() {
  parts_.log.warning("level 3 was not reached in time: who waits at the kept port is refused, and it is closed",
                     {{"hold_ms", std::to_string(std::chrono::duration_cast<milliseconds>(parts_.hold).count())}});
  parts_.store.remove();
  inherited_ = survived_ = false;
  const int fd = ours_.release();
  try {
    refuser_ = std::make_unique<Refuser>(fd, parts_.limits, parts_.refusal(), parts_.time, parts_.log, parts_.metrics);
  } catch (const std::system_error& error) {
    ::close(fd);
    parts_.log.warning("nobody could be told", {{"reason", error.what()}});
  }
}

}  // namespace ratchet::service
