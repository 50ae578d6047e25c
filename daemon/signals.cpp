#include "daemon/signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

namespace ratchet {

namespace {

sigset_t ours() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1})
    sigaddset(&set, number);
  return set;
}

[[noreturn]] void leave_at_once() {
  constexpr std::string_view kLine = "ratchetd: third signal to stop: leaving at once\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kLine.data(), kLine.size());
  ::_exit(1);
}

int checked(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return fd;
}

}  // namespace

void block_signals() {
  const sigset_t set = ours();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

Signals::Signals(Mailbox& mailbox, std::function<void()> third, std::function<void()> restart)
    : mailbox_(mailbox), third_(third ? std::move(third) : leave_at_once), restart_(std::move(restart)) {
  const sigset_t set = ours();
  signal_fd_ = checked(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
  end_fd_ = checked(::eventfd(0, EFD_CLOEXEC), "eventfd");
  thread_ = std::thread([this] { run(); });
}

Signals::~Signals() {
  ::eventfd_write(end_fd_, 1);
  thread_.join();
  ::close(end_fd_);
  ::close(signal_fd_);
}

// Waits without a deadline on purpose: it has nothing else to do, and the end wakes it.
void Signals::run() {
  pthread_setname_np(pthread_self(), "signals");
  unsigned stops = 0;
  std::array<pollfd, 2> fds{pollfd{signal_fd_, POLLIN, 0}, pollfd{end_fd_, POLLIN, 0}};
  while (true) {
    ::poll(fds.data(), fds.size(), -1);
    if (fds[1].revents != 0) return;
    signalfd_siginfo info{};
    if (::read(signal_fd_, &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo == SIGHUP) {
      mailbox_.hangup();
    } else if (info.ssi_signo == SIGUSR1) {
      if (restart_) restart_();
    } else if (++stops < 3) {
      mailbox_.stop();
    } else {
      third_();
    }
  }
}

}  // namespace ratchet
