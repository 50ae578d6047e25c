#include "daemon/ctl/client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>

#include "config/paths.hpp"

namespace ratchet::ctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kLongestAnswer = std::size_t{4} * 1024 * 1024;
constexpr milliseconds kAnswerPatience{15'000};  // a status comes at once; a reload may take its time
constexpr milliseconds kRetry{100};              // between two looks for a daemon that is not there yet

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

Answer no_daemon(const std::string& path, const std::string& why) {
  return {69, "no daemon at " + path + ": " + why + " (is ratchetd running? another socket: --socket)", Json::object()};
}

bool send_all(int fd, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t sent = ::send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += static_cast<std::size_t>(sent);
  }
  return true;
}

std::optional<std::string> receive_line(int fd, steady_clock::time_point until) {
  std::string line;
  char buffer[16384];
  while (line.find('\n') == std::string::npos && line.size() < kLongestAnswer) {
    const auto left = std::chrono::duration_cast<milliseconds>(until - steady_clock::now()).count();
    pollfd ready{fd, POLLIN, 0};
    if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) <= 0) return std::nullopt;
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return std::nullopt;
    line.append(buffer, static_cast<std::size_t>(got));
  }
  return line;
}

Answer connect(const Socket& socket, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return {64, "the socket's path is longer than " + std::to_string(sizeof address.sun_path - 1) + " bytes", {}};
  std::copy(path.begin(), path.end(), address.sun_path);
  if (::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return no_daemon(path, std::strerror(errno));
  return {};
}

// The unit's name is the last part of its cgroup's path. Empty: no service of systemd's.
std::string unit_of(pid_t pid) {
  constexpr std::string_view kService = ".service";
  std::ifstream groups("/proc/" + std::to_string(pid) + "/cgroup");
  for (std::string line; std::getline(groups, line);) {
    std::string name = line.substr(line.rfind('/') + 1);
    if (name.size() > kService.size() && name.ends_with(kService)) return name;
  }
  return {};
}

// Not every process beneath a unit is the unit's own: one started by hand, out of some agent's service, is not.
bool is_main_process(const std::string& unit, pid_t pid) {
  const std::string ask = "systemctl show --property=MainPID --value '" + unit + "'";  // a unit's name holds no quotes
  FILE* const told = ::popen(ask.c_str(), "r");
  if (told == nullptr) return false;
  char line[32] = "";
  const bool read = std::fgets(line, sizeof line, told) != nullptr;
  return ::pclose(told) == 0 && read && std::strtol(line, nullptr, 10) == pid;
}

Answer judge(Json body) {
  Answer answer{0, "", std::move(body)};
  if (answer.body.contains("error")) {
    answer.error = answer.body["error"].get<std::string>();
    answer.exit_code = answer.body.value("busy", false) ? 75 : 1;
  }
  return answer;
}

}  // namespace

std::string socket_path(const std::string& given) {
  if (!given.empty()) return given;
  if (const char* named = std::getenv("RATCHET_SOCKET"); named != nullptr && *named != '\0') return named;
  return default_control_path();
}

Answer Client::ask_within(const Json& request, milliseconds patience) const {
  const Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (Answer failed = connect(socket, path_); failed.exit_code != 0) return failed;
  if (!send_all(socket.fd(), request.dump() + "\n")) return no_daemon(path_, "it closed the connection");
  const auto line = receive_line(socket.fd(), steady_clock::now() + patience);
  if (!line) return {1, "no answer within " + std::to_string(patience.count()) + " ms", Json::object()};
  Json body = Json::parse(*line, nullptr, false);
  if (body.is_discarded()) return {1, "an answer that is not JSON: " + line->substr(0, 200), Json::object()};
  return judge(std::move(body));
}

Answer Client::ask(const Json& request) const { return ask_within(request, kAnswerPatience); }

Answer Client::restart() const {
  const Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (Answer failed = connect(socket, path_); failed.exit_code != 0) return failed;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {1, std::strerror(errno), {}};
  const std::string unit = unit_of(peer.pid);
  if (unit.empty() || !is_main_process(unit, peer.pid))
    return {1, "systemd does not run this daemon: stop and start it as it was started", {}};
  if (::geteuid() != 0) return {1, "needs root: systemctl restart " + unit, {}};
  ::execlp("systemctl", "systemctl", "restart", unit.c_str(), nullptr);
  return {1, std::string("systemctl: ") + std::strerror(errno), {}};
}

Answer Client::wait(Json request) const {
  const auto until = steady_clock::now() + milliseconds(request["timeout_ms"].get<long>());
  for (;;) {
    const auto left = std::max(milliseconds(1), std::chrono::duration_cast<milliseconds>(until - steady_clock::now()));
    request["timeout_ms"] = left.count();
    Answer answer = ask_within(request, left + milliseconds(2000));
    if (answer.exit_code != 69 || steady_clock::now() + kRetry >= until) return answer;
    ::poll(nullptr, 0, static_cast<int>(kRetry.count()));
  }
}

}  // namespace ratchet::ctl
