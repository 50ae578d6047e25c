#include "levels/3_service/exec_hook.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

namespace ratchet::service {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostOutput = std::size_t{64} * 1024;
constexpr std::size_t kMostTold = 200;
constexpr int kTryAgain = 75;  // EX_TEMPFAIL

// What systemd tells the daemon alone: a hook that answered in its name would lie.
constexpr std::array<std::string_view, 8> kOurs = {
    "NOTIFY_SOCKET=", "WATCHDOG_USEC=",  "WATCHDOG_PID=",          "LISTEN_FDS=",
    "LISTEN_PID=",    "LISTEN_FDNAMES=", "CREDENTIALS_DIRECTORY=", "RATCHET_"};

class Fd {
 public:
  explicit Fd(int fd = -1) noexcept : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(-1); }
  void reset(int fd) noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& text : texts)
    out.push_back(const_cast<char*>(text.c_str()));  // NOLINT: posix_spawn's signature
  out.push_back(nullptr);
  return out;
}

// posix_spawn's two descriptions, with standard input from /dev/null, output and errors into `out`, default signals,
// nothing else open.
class Spawn {
 public:
  explicit Spawn(int out) {
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    ::posix_spawn_file_actions_init(&files_);
    ::posix_spawn_file_actions_addopen(&files_, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&files_, out, 1);
    ::posix_spawn_file_actions_adddup2(&files_, out, 2);
    ::posix_spawn_file_actions_addclosefrom_np(&files_, 3);
  }
  ~Spawn() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&files_);
  }
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;

  // 0, or the reason (errno).
  int run(pid_t& pid, const std::vector<std::string>& argv, const std::vector<std::string>& environment) {
    auto arguments = pointers(argv);
    auto variables = pointers(environment);
    return ::posix_spawn(&pid, argv.front().c_str(), &files_, &attributes_, arguments.data(), variables.data());
  }

 private:
  posix_spawnattr_t attributes_{};
  posix_spawn_file_actions_t files_{};
};

// Reads what is there. False: its end was reached.
bool take_output(int fd, std::string& output) {
  std::array<char, 16'384> part;
  for (;;) {
    const ssize_t n = ::read(fd, part.data(), part.size());
    if (n == 0) return false;
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    output.append(part.data(), std::min(static_cast<std::size_t>(n), kMostOutput - output.size()));
    if (output.size() == kMostOutput) return true;  // a flood is read, not kept, a part at each turn
  }
}

std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  const std::size_t from = text.find_last_of("\r\n");
  if (from != std::string_view::npos) text.remove_prefix(from + 1);
  return std::string(text.substr(0, kMostTold));
}

// Until it has ended, or patience has; its status (waitid's) once it has.
std::optional<siginfo_t> wait_for_end(pid_t pid, int pidfd, int out, std::string& output, const TimeSource& time,
                                      Patience& patience) {
  bool open = true;
  for (;;) {
    siginfo_t info{};
    // Not reaped yet: until its group has been killed, nobody else may get its number.
    if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid) {
      if (open) take_output(out, output);
      return info;
    }
    const TimePoint now = time.now();
    if (patience.over(now)) return std::nullopt;
    std::array<pollfd, 2> fds = {{{pidfd, POLLIN, 0}, {open ? out : -1, POLLIN, 0}}};
    const auto nap = std::chrono::ceil<milliseconds>(patience.nap(now) - now);
    ::poll(fds.data(), fds.size(), static_cast<int>(nap.count()));
    if (open && fds[1].revents != 0) open = take_output(out, output);
  }
}

// It and what it has started, and waits for those of them that are our children (as process 1 we inherit orphans).
void end_group(pid_t pid) {
  ::kill(-pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  while (::waitpid(-pid, nullptr, WNOHANG) > 0) {
  }
}

Told word_of(const siginfo_t& info, const std::string& output) {
  if (info.si_code == CLD_EXITED && info.si_status == 0) return {};
  const bool exited = info.si_code == CLD_EXITED;
  std::string text = (exited ? "exit status " : "killed by signal ") + std::to_string(info.si_status);
  if (const std::string line = last_line(output); !line.empty()) text += ": " + line;
  if (output.size() >= kMostOutput) text += " (its output was longer than 64 KiB)";
  return {exited && info.si_status == kTryAgain ? Told::Word::again : Told::Word::failed, text};
}

}  // namespace

ExecHook::ExecHook(const RegistrarSettings& settings, const std::string& instance, const TimeSource& time)
    : argv_(settings.argv), address_(settings.address.value_or(ListenAddress{})), instance_(instance), time_(time) {}

std::vector<std::string> ExecHook::environment(Verb verb) const {
  std::vector<std::string> out;
  for (char** one = environ; *one != nullptr; ++one) {
    const std::string_view text = *one;
    if (std::none_of(kOurs.begin(), kOurs.end(), [&](std::string_view ours) { return text.starts_with(ours); }))
      out.emplace_back(text);
  }
  const bool here = verb == Verb::register_ || verb == Verb::heartbeat;
  out.push_back("RATCHET_VERB=" + std::string(to_string(verb)));
  out.push_back("RATCHET_ID=" + instance_);
  out.push_back("RATCHET_ADDR=" + address_.host);
  out.push_back("RATCHET_PORT=" + std::to_string(address_.port));
  out.push_back(std::string("RATCHET_LEVEL=") + (here ? "3" : "2"));
  return out;
}

Told ExecHook::tell(Verb verb, Leave, Patience& patience) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {Told::Word::again, std::string("no pipe: ") + std::strerror(errno)};
  Fd out(ends[0]), in(ends[1]);
  if (::fcntl(out.get(), F_SETFL, O_NONBLOCK) != 0)
    return {Told::Word::again, std::string("no pipe: ") + std::strerror(errno)};
  pid_t pid = 0;
  if (const int error = Spawn(in.get()).run(pid, argv_, environment(verb)); error != 0)
    return {Told::Word::failed, "cannot start " + argv_.front() + ": " + std::strerror(error)};
  in.reset(-1);
  const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));  // without one (an old kernel) naps do
  std::string output;
  const auto info = wait_for_end(pid, pidfd.get(), out.get(), output, time_, patience);
  end_group(pid);
  if (info) return word_of(*info, output);
  std::string text = "killed: not ended in time";
  if (const std::string line = last_line(output); !line.empty()) text += ": " + line;
  return {Told::Word::again, text};
}

}  // namespace ratchet::service
