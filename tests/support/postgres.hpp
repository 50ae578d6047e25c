// A throwaway PostgreSQL for tests: a real cluster in a temp folder, on a free port of 127.0.0.1 and a unix socket.
// Runs as user postgres when the test runs as root. fsync stays on: what is tested is what is shipped.
// Leaves nothing behind, not even when the test program crashes (a janitor process waits for that).
// One thread at a time. Everything throws std::runtime_error with the reason.
//
//   Postgres server;                                  // initdb and start: about a second
//   server.create_role("app", "secret");
//   server.create_database("app", "app");
//   connect(server.dsn("app", "app") + " password=secret");
//   server.freeze(); ... server.thaw(); server.kill9(); server.start();
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ratchet::tests {

class Postgres {
 public:
  // `config`: lines for postgresql.conf, e.g. "max_connections = 12".
  explicit Postgres(const std::vector<std::string>& config = {});
  ~Postgres();
  Postgres(const Postgres&) = delete;
  Postgres& operator=(const Postgres&) = delete;

  std::uint16_t port() const noexcept { return port_; }
  const std::string& folder() const noexcept { return folder_; }  // holds data/, socket/, log
  pid_t postmaster() const noexcept { return postmaster_; }       // 0: not running

  // Over TCP, where a password is asked for (scram-sha-256); no password in it.
  std::string dsn(const std::string& database, const std::string& user) const;
  // Over the unix socket, where everybody is trusted.
  std::string socket_dsn(const std::string& database, const std::string& user) const;

  // On the same port and data. Waits until it accepts connections.
  void start();
  void stop();                                   // fast shutdown: clients get a FATAL
  void restart() { stop(); start(); }
  void kill9();                                  // the postmaster only; its children notice and end by themselves
  void freeze();                                 // SIGSTOP to the postmaster and to every child
  void freeze_postmaster();                      // new connections hang, the old ones go on
  void freeze_backend(pid_t backend);            // one child; thaw() wakes it, too
  void thaw();
  void restart_as_standby();                     // the same data, in recovery: pg_is_in_recovery() is true
  void promote();

  // Runs the text with psql as superuser over the unix socket. Returns what it prints: rows by line, columns by '|'.
  std::string sql(const std::string& text, const std::string& database = "postgres");
  void create_role(const std::string& name, const std::string& password, const std::string& more = "login");
  void create_database(const std::string& name, const std::string& owner = "postgres");
  // pg_terminate_backend for each client connection for which `where` (over pg_stat_activity) holds. How many.
  int terminate_backends(const std::string& where = "true");

  std::string log() const;                       // the server's own log, whole

 private:
  void spawn_postmaster();
  void start_janitor();
  bool wait_ready();                             // false: it ended while starting
  std::vector<pid_t> children() const;
  void reap() noexcept;                         // waits for the end of the postmaster

  std::string bin_, folder_, data_, socket_;
  std::uint16_t port_ = 0;
  pid_t postmaster_ = 0;
  pid_t janitor_ = 0;
  int janitor_pipe_ = -1;
  std::vector<pid_t> orphans_;                   // children of a killed postmaster
};

}  // namespace ratchet::tests
