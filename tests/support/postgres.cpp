#include "tests/support/postgres.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "tests/support/process.hpp"

namespace ratchet::tests {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

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

template <class Condition>
bool wait_for(Condition condition) {
  return wait_until(kPatience, condition);
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
  folder_ = make_folder("ratchet-pg-");
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
  wait_end(janitor_);
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
  janitor_ = spawn_janitor(
      "if [ -f \"$0/data/postmaster.pid\" ]; then read -r pid < \"$0/data/postmaster.pid\"; "
      "grep -qz \"$0/data\" \"/proc/$pid/cmdline\" 2>/dev/null && { all=$(cat /proc/$pid/task/$pid/children); "
      "kill -9 \"$pid\" $all; sleep 0.2; } 2>/dev/null; fi; rm -rf \"$0\"",
      folder_, pipe);
  janitor_pipe_ = std::exchange(pipe.write_end, -1);
}

void Postgres::spawn_postmaster() {
  postmaster_ = spawn_logging(as_server_user({bin_ + "postgres", "-D", data_, "-p", std::to_string(port_)}), folder_ + "/log");
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
  wait_end(postmaster_);
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

std::string Postgres::log() const { return text_of(folder_ + "/log"); }

}  // namespace ratchet::tests
