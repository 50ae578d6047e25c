#include "tests/support/process.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>

extern char** environ;

namespace ratchet::tests {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("tests: " + what); }

}  // namespace

Pipe::Pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
  read_end = ends[0];
  write_end = ends[1];
}
Pipe::~Pipe() {
  close_read();
  close_write();
}
void Pipe::close_read() {
  if (read_end >= 0) ::close(std::exchange(read_end, -1));
}
void Pipe::close_write() {
  if (write_end >= 0) ::close(std::exchange(write_end, -1));
}

pid_t spawn(const std::vector<std::string>& argv, int in, int out, int err) {
  std::vector<char*> pointers;
  pointers.reserve(argv.size() + 1);
  for (const auto& arg : argv)
    pointers.push_back(const_cast<char*>(arg.c_str()));
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in, 0);
  posix_spawn_file_actions_adddup2(&files, out, 1);
  posix_spawn_file_actions_adddup2(&files, err, 2);
  posix_spawnattr_t how;
  posix_spawnattr_init(&how);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setpgroup(&how, 0);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, pointers[0], &files, &how, pointers.data(), environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) fail("cannot start " + argv[0]);
  return pid;
}

pid_t spawn_logging(const std::vector<std::string>& argv, const std::string& log) {
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const pid_t pid = spawn(argv, null, out, out);
  ::close(null);
  ::close(out);
  return pid;
}

int wait_end(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

std::string run(const std::vector<std::string>& argv, const std::string& input) {
  char name[] = "/tmp/ratchet-input-XXXXXX";
  const int in = ::mkostemp(name, O_CLOEXEC);
  if (in < 0) fail("mkostemp");
  ::unlink(name);
  if (::write(in, input.data(), input.size()) != static_cast<ssize_t>(input.size())) fail("write");
  ::lseek(in, 0, SEEK_SET);
  Pipe out;
  const pid_t pid = spawn(argv, in, out.write_end, out.write_end);
  ::close(in);
  out.close_write();
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(out.read_end, buffer, sizeof buffer)) != 0;) {
    if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
    if (n < 0 && errno != EINTR) break;
  }
  const int status = wait_end(pid);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail(argv[0] + " " + argv.back() + " failed: " + text);
  return text;
}

pid_t spawn_janitor(const std::string& script, const std::string& folder, Pipe& pipe) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const pid_t pid =
      spawn({"/bin/sh", "-c", "trap '' INT TERM HUP; read -r _; [ -d \"$0\" ] || exit 0; " + script, folder},
            pipe.read_end, null, null);
  ::close(null);
  pipe.close_read();
  return pid;
}

std::string make_folder(const std::string& prefix) {
  std::string name = "/tmp/" + prefix + "XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) fail("mkdtemp");
  return name;
}

std::string text_of(const std::string& file) {
  std::ifstream in(file);
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

std::uint16_t free_port() {
  std::random_device random;
  for (int tries = 0; tries < 200; ++tries) {
    const auto port = static_cast<std::uint16_t>(15000 + random() % 17000);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool ok = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    if (ok) return port;
  }
  fail("no free port");
}

ProcessState process_state(pid_t pid) {
  const std::string line = text_of("/proc/" + std::to_string(pid) + "/stat");
  const auto end = line.rfind(')');
  if (end == std::string::npos) return {};
  std::istringstream rest(line.substr(end + 1));
  ProcessState found;
  rest >> found.state >> found.parent;
  return found;
}

bool gone(pid_t pid) {
  const char state = process_state(pid).state;
  return state == 0 || state == 'Z' || state == 'X';
}

}  // namespace ratchet::tests
