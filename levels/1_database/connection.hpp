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
#include "levels/core/patience.hpp"
#include "levels/core/result.hpp"

namespace ratchet::db {

// Why a call failed.
struct SqlError {
  enum class Kind : std::uint8_t {
    said,   // the server answered with an error; the connection is still good
    lost,   // the connection is gone (or was cut by our watchdog); what was sent may or may not have happened
  };
  Kind kind = Kind::lost;
  std::string sqlstate;  // five characters, or empty
  std::string text;      // one line; the server's own reason where it gave one
};

// SQLSTATE and text -> what kind of fault that is ("28P01" -> authentication). One table.
FaultKind fault_kind(const SqlError& error) noexcept;

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
    std::string conninfo;           // complete, password and hostaddr included: never logged
    std::string application_name;
  };
  // Connects and sets the session (UTC, ISO, UTF8, jit off, ...). Fails with a Fault that names the reason.
  static Result<std::unique_ptr<Connection>> connect(const Plan& plan, Patience& patience, const TimeSource& time);
  ~Connection();

  Result<Rows, SqlError> exec(std::string_view sql);                       // autocommit
  Result<Nothing, SqlError> prepare(const std::string& name, const std::string& sql);  // at once, not lazily
  Result<Rows, SqlError> exec_prepared(const std::string& name, std::span<const Parameter> parameters);

  int socket() const noexcept;      // for polling while idle
  bool broken() const noexcept;
  void cut() noexcept;              // shutdown(fd): whoever waits in a call returns with `lost`. Any thread.

 private:
  struct Inside;
  explicit Connection(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet::db
