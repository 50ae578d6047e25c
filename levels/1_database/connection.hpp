// One server connection. The only file that includes pqxx; the differences between Debian 12's 6.4 and Debian 13's
// 7.10 are settled here. It never reconnects silently: once broken, every call fails until it is thrown away.
// One thread at a time; `cut` may come from any other.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "levels/1_database/resolver.hpp"
#include "levels/core/patience.hpp"
#include "levels/core/result.hpp"

namespace ratchet::db {

// Why a call failed.
struct SqlError {
  enum class Kind : std::uint8_t {
    said,   // the server answered with an error; the connection is still good, whatever the SQLSTATE
    lost,   // the connection is gone (or was cut by our watchdog); what was sent may or may not have happened
  };
  Kind kind = Kind::lost;
  std::string sqlstate;  // five characters, or empty; of a loss: that of the FATAL it ended with
  std::string text;      // one line; the server's own reason where it gave one
  std::string context{};  // of what was said: where in the server's functions, the first line; empty: our statement itself
};

// SQLSTATE and text -> what kind of fault that is ("28P01" -> authentication). One table.
FaultKind fault_kind(const SqlError& error) noexcept;

// The word it is counted by: the kind of fault; "statement" where it is the statement's own matter (its SQLSTATE is of
// a class that PostgreSQL documents); "unknown" where nobody knows that code.
std::string_view kind_word(const SqlError& error) noexcept;

// An answer to our own statement or to what our functions do, not to what a trigger of somebody else's does beneath them.
bool is_ours(const SqlError& error) noexcept;

// "at once" errors of a server that is not the one we want or not one any more: 57P02..57P04 of a loss, 25006 of our
// statement itself (deeper inside the next probe finds out whether it was true).
bool server_is_gone(const SqlError& error) noexcept;

// Our prepared statement is unknown to the session, which is therefore not the one it was prepared in.
bool session_is_swapped(const SqlError& error) noexcept;

// A result, rows of text values. Views are valid as long as this lives.
class Rows {
 public:
  Rows();
  ~Rows();
  Rows(Rows&&) noexcept;
  Rows& operator=(Rows&&) noexcept;
  std::size_t size() const noexcept;
  bool is_null(std::size_t row, int column) const noexcept;
  std::string_view text(std::size_t row, int column) const noexcept;    // "" for null
  std::int64_t integer(std::size_t row, int column) const;              // asserts it is one
  bool boolean(std::size_t row, int column) const noexcept;
  std::string bytes(std::size_t row, int column) const;                 // bytea, decoded
  void bytes_into(std::size_t row, int column, std::string& out) const;  // the same, into a buffer used again

 private:
  friend class Connection;
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

// A parameter of a prepared statement: text, or binary in the server's own format (arrays, bytea).
struct Parameter {
  std::string_view value;
  bool null = false;
  bool binary = false;
};

class Connection {
 public:
  struct Plan {
    std::string conninfo;             // or a URI; password included: never logged
    std::string application_name;
    milliseconds statement{5000};     // statement_timeout of the session; our watchdog's patience where a call has none
    Resolver* resolver = nullptr;     // without one, names are left to libpq, which may block for long
    // Of several servers, those of another role are passed over, unless the conninfo has target_session_attrs of its
    // own. Empty: any will do.
    std::optional<PoolRole> role{};
  };
  // Connects and sets the session (UTC, ISO, UTF8, jit off, ...) in the same round trip. Our own timeouts only where
  // the conninfo sets none. Several hosts are tried in order, each for connect_timeout. Fails with a Fault
  // (level 1, incarnation 0) that names the reason. Returns within 20 ms of the end of `patience`. `time` must outlive
  // the connection.
  static Result<std::unique_ptr<Connection>> connect(const Plan& plan, Patience& patience, const TimeSource& time);
  ~Connection();

  Result<Rows, SqlError> exec(std::string_view sql);                       // autocommit
  Result<Nothing, SqlError> prepare(const std::string& name, const std::string& sql);  // at once, not lazily
  Result<Rows, SqlError> exec_prepared(const std::string& name, std::span<const Parameter> parameters);

  // Takes back what `set NAME = ...` has changed of the session.
  Result<Rows, SqlError> restore(const std::string& name);

  int socket() const noexcept;      // for polling while idle; ours as long as this lives, even when broken
  bool broken() const noexcept;     // any thread
  bool look() noexcept;             // while idle and readable: takes in what came; false: the connection is gone
  bool in_transaction() const noexcept;  // or in the midst of a call: not to be lent to anybody else
  std::string loss() const;         // why it is broken, one line; "" before
  int backend() const noexcept;     // the server's process id; a pooler tells another one, so set what the server says
  void set_backend(int pid) noexcept;
  const std::string& where() const noexcept;  // "127.0.0.1:5432"

  // Until when the next call may take; holds for that one call. Without it: Plan::statement and a bit.
  void allow_until(TimePoint deadline) noexcept;
  // For the watchdog; any thread. When the call under way is due, else the next one if that is known and to come.
  std::optional<TimePoint> due(TimePoint now) const noexcept;
  // True: a call was due and its connection has been cut for that, now.
  bool cut_if_overdue(TimePoint now) noexcept;
  void cut() noexcept;              // shutdown(fd): whoever waits in a call returns with `lost`. Any thread.
  bool was_cut() const noexcept;    // any thread
  bool was_overdue() const noexcept;  // it was cut because a call had had its time
  bool in_call() const noexcept;    // any thread
  // It was lost in the middle of a call, and the server has not said that it ends: the backend may be at work still.
  // From then on, and before `in_call` ends. Any thread.
  bool left_call() const noexcept;

 private:
  struct Inside;
  explicit Connection(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::db
