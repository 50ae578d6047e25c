// What the server says on one connection, taken from libpq where it arrives: libpqxx hands on a text and an SQLSTATE,
// and neither tells an ERROR that the connection survives from the FATAL that ends it. Severities are read in their
// form that no lc_messages translates. One thread at a time.
#pragma once

#include <optional>
#include <string>

struct pg_conn;  // libpq's PGconn and PGresult
struct pg_result;

namespace ratchet::db {

struct ServerWord {
  bool fatal = false;    // FATAL or PANIC: the session ends with it
  std::string sqlstate;  // five characters
  std::string text;      // the first line of the message; begins with "FATAL: " where it is
  std::string context;   // where it was raised, innermost first, its first line only; "": in the statement itself
};

class ServerWords {
 public:
  ServerWords() = default;
  ServerWords(const ServerWords&) = delete;
  ServerWords& operator=(const ServerWords&) = delete;

  // From now on. This must outlive the connection's use, not the connection.
  void listen_to(pg_conn* connection);

  // A call begins: what was said before it is of no more account, but for a farewell.
  void forget() noexcept { error_.reset(), unreplicated_ = false; }
  // What the call under way, or the last one, was answered with.
  const std::optional<ServerWord>& error() const noexcept { return error_; }
  // The call under way has come back although its commit is on no synchronous standby: somebody cancelled the wait.
  // Told by the server's function, as the text is translated.
  bool unreplicated() const noexcept { return unreplicated_; }
  // With what the server ended the session, asked or not: a FATAL, or the warning of a backend that is told to quit.
  const std::optional<ServerWord>& farewell() const noexcept { return farewell_; }

 private:
  void answered(const pg_result* result);
  static void noticed(void* self, const pg_result* notice);

  std::optional<ServerWord> error_, farewell_;
  bool unreplicated_ = false;
};

}  // namespace ratchet::db
