#include "tests/support/postgres.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

extern char** environ;

namespace ratchet::tests {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = 60s;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("test PostgreSQL: " + what); }

std::string newest_bin() {
  int newest = 0;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql")) {
    if (fs::exists(entry.path() / "bin/postgres")) newest = std::max(newest, std::atoi(entry.path().filename().c_str()));
  }
  if (newest == 0) fail("no server under /usr/lib/postgresql");
  return "/usr/lib/postgresql/" + std::to_string(newest) + "/bin/";
}

// PostgreSQL refuses to run as root.
std::vector<std::string> as_server_user(std::vector<std::string> argv) {
  if (::geteuid() != 0) return argv;
  std::vector<std::string> all = {"/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"};
  all.insert(all.end(), argv.begin(), argv.end());
  return all;
}

// Starts a program; in, out and err become its standard files.
pid_t spawn(const std::vector<std::string>& argv, int in, int out, int err) {
  std::vector<char*> pointers;
  pointers.reserve(argv.size() + 1);
  for (const auto& arg : argv) pointers.push_back(const_cast<char*>(arg.c_str()));
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
  const int error = posix_spawn(&pid, pointers[0], &files, &how, pointers.data(), environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) fail("cannot start " + argv[0]);
  return pid;
}

struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
    read_end = ends[0];
    write_end = ends[1];
  }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_read() {
    if (read_end >= 0) ::close(std::exchange(read_end, -1));
  }
  void close_write() {
    if (write_end >= 0) ::close(std::exchange(write_end, -1));
  }
};

// Runs a program to its end, feeding it `input` (smaller than a pipe, or read by the program as it comes).
std::string run(const std::vector<std::string>& argv, const std::string& input = {}) {
  char name[] = "/tmp/ratchet-pg-in-XXXXXX";
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
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail(argv.back() + " failed: " + text);
  return text;
}

// A port nobody listens on, outside the range the kernel hands out to outgoing connections: it must still be free
// when the server is started again.
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

// The fields of /proc/PID/stat behind the name: state, parent. State 0: no such process.
struct ProcessState {
  char state = 0;
  pid_t parent = 0;
};
ProcessState process_state(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return {};
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

template <class Condition>
bool wait_for(Condition condition) {
  for (const auto end = Clock::now() + kPatience; Clock::now() < end; std::this_thread::sleep_for(2ms)) {
    if (condition()) return true;
  }
  return false;
}

std::string quoted(const std::string& text, char quote) {
  std::string all(1, quote);
  for (const char c : text) {
    if (c == quote) all += c;
    all += c;
  }
  return all + quote;
}

}  // namespace

Postgres::Postgres(const std::vector<std::string>& config) : bin_(newest_bin()) {
  char name[] = "/tmp/ratchet-pg-XXXXXX";
  if (::mkdtemp(name) == nullptr) fail("mkdtemp");
  folder_ = name;
  data_ = folder_ + "/data";
  socket_ = folder_ + "/socket";
  fs::create_directory(socket_);
  fs::permissions(folder_, fs::perms(0755));
  fs::permissions(socket_, fs::perms(0777));
  fs::create_directory(data_);
  start_janitor();
  if (::geteuid() == 0) run({"/bin/chown", "postgres:postgres", data_, folder_});
  run(as_server_user({bin_ + "initdb", "--no-sync", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust", data_}));
  std::ofstream(data_ + "/pg_hba.conf", std::ios::trunc)
      << "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
  {
    std::ofstream conf(data_ + "/postgresql.conf", std::ios::app);
    conf << "\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '" << socket_
         << "'\nshared_buffers = 32MB\nmax_connections = 50\nlog_min_messages = warning\n";
    for (const auto& line : config) conf << line << '\n';
  }
  for (int tries = 0; tries < 5; ++tries) {  // another test may have taken the port in between
    port_ = free_port();
    spawn_postmaster();
    if (wait_ready()) return;
  }
  fail("does not start: " + log());
}

Postgres::~Postgres() {
  if (postmaster_ != 0) {
    auto family = children();
    ::kill(postmaster_, SIGKILL);
    for (const pid_t child : family) ::kill(child, SIGKILL);
    orphans_.insert(orphans_.end(), family.begin(), family.end());
    reap();
  }
  wait_for([this] { return std::all_of(orphans_.begin(), orphans_.end(), gone); });
  std::error_code ignored;  // the janitor removes what is left
  fs::remove_all(folder_, ignored);
  ::close(janitor_pipe_);
  while (::waitpid(janitor_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string Postgres::dsn(const std::string& database, const std::string& user) const {
  return "host=127.0.0.1 port=" + std::to_string(port_) + " dbname=" + database + " user=" + user;
}

std::string Postgres::socket_dsn(const std::string& database, const std::string& user) const {
  return "host=" + socket_ + " port=" + std::to_string(port_) + " dbname=" + database + " user=" + user;
}

// Waits for the end of the pipe, which only this process holds; then ends the server, if there is still one, and
// removes the folder.
void Postgres::start_janitor() {
  Pipe pipe;
  const std::string script =
      "trap '' INT TERM HUP; read -r _; [ -d \"$0\" ] || exit 0; "
      "if [ -f \"$0/data/postmaster.pid\" ]; then read -r pid < \"$0/data/postmaster.pid\"; "
      "grep -qz \"$0/data\" \"/proc/$pid/cmdline\" 2>/dev/null && { all=$(cat /proc/$pid/task/$pid/children); "
      "kill -9 \"$pid\" $all; sleep 0.2; } 2>/dev/null; fi; rm -rf \"$0\"";
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  janitor_ = spawn({"/bin/sh", "-c", script, folder_}, pipe.read_end, null, null);
  ::close(null);
  janitor_pipe_ = std::exchange(pipe.write_end, -1);
}

void Postgres::spawn_postmaster() {
  const std::string log_name = folder_ + "/log";
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int out = ::open(log_name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  postmaster_ = spawn(as_server_user({bin_ + "postgres", "-D", data_, "-p", std::to_string(port_)}), null, out, out);
  ::close(null);
  ::close(out);
}

// The eighth line of postmaster.pid says "ready": the same that pg_ctl looks at.
bool Postgres::wait_ready() {
  const std::string mine = std::to_string(postmaster_);
  bool ended = false;
  const bool ready = wait_for([&] {
    if (::waitpid(postmaster_, nullptr, WNOHANG) == postmaster_) return ended = true;
    std::ifstream file(data_ + "/postmaster.pid");
    std::string line, first;
    for (int n = 1; n <= 8 && std::getline(file, line); ++n) {
      if (n == 1) first = line;
      if (n == 8) return first == mine && line.starts_with("ready");
    }
    return false;
  });
  if (ended) postmaster_ = 0;
  if (!ready) fail("not ready in time: " + log());
  return !ended;
}

void Postgres::start() {
  if (postmaster_ != 0) fail("already running");
  if (!wait_for([this] { return std::all_of(orphans_.begin(), orphans_.end(), gone); })) fail("old backends do not end");
  orphans_.clear();
  spawn_postmaster();
  if (!wait_ready()) fail("does not start: " + log());
}

void Postgres::stop() {
  if (postmaster_ == 0) return;
  thaw();
  ::kill(postmaster_, SIGINT);
  reap();
}

void Postgres::reap() noexcept {
  while (::waitpid(postmaster_, nullptr, 0) < 0 && errno == EINTR) {
  }
  postmaster_ = 0;
}

void Postgres::kill9() {
  if (postmaster_ == 0) return;
  orphans_ = children();
  ::kill(postmaster_, SIGKILL);
  for (const pid_t child : orphans_) {  // a frozen child cannot notice
    if (process_state(child).state == 'T') ::kill(child, SIGKILL);
  }
  reap();
}

std::vector<pid_t> Postgres::children() const {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && process_state(pid).parent == postmaster_) found.push_back(pid);
  }
  return found;
}

void Postgres::freeze() {
  freeze_postmaster();  // first, so that no child is added or mourned meanwhile
  for (const pid_t child : children()) freeze_backend(child);
}

void Postgres::freeze_postmaster() {
  ::kill(postmaster_, SIGSTOP);
  if (!wait_for([this] { return process_state(postmaster_).state == 'T'; })) fail("postmaster does not stop");
}

void Postgres::freeze_backend(pid_t backend) {
  ::kill(backend, SIGSTOP);
  wait_for([backend] { return gone(backend) || process_state(backend).state == 'T'; });
}

void Postgres::thaw() {
  if (postmaster_ == 0) return;
  for (const pid_t child : children()) ::kill(child, SIGCONT);
  ::kill(postmaster_, SIGCONT);
}

void Postgres::restart_as_standby() {
  stop();
  std::ofstream(data_ + "/standby.signal").flush();
  if (::geteuid() == 0) run({"/bin/chown", "postgres:postgres", data_ + "/standby.signal"});
  start();
}

void Postgres::promote() { sql("select pg_promote(true, 30)"); }

std::string Postgres::sql(const std::string& text, const std::string& database) {
  return run({bin_ + "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-",
              socket_dsn(database, "postgres") + " connect_timeout=10"},
             text);
}

void Postgres::create_role(const std::string& name, const std::string& password, const std::string& more) {
  sql("create role " + quoted(name, '"') + " " + more + " password " + quoted(password, '\''));
}

void Postgres::create_database(const std::string& name, const std::string& owner) {
  sql("create database " + quoted(name, '"') + " owner " + quoted(owner, '"'));
}

int Postgres::terminate_backends(const std::string& where) {
  // A backend that has just gone by itself is a warning, which would stand before the number.
  return std::stoi(sql("set client_min_messages = error; select count(pg_terminate_backend(pid)) from pg_stat_activity "
                       "where backend_type = 'client backend' and pid <> pg_backend_pid() and (" + where + ")"));
}

std::string Postgres::log() const {
  std::ifstream file(folder_ + "/log");
  std::stringstream all;
  all << file.rdbuf();
  return all.str();
}

}  // namespace ratchet::tests
