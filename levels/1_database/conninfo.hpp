// What a DSN says, in both forms ("host=... port=..." and "postgresql://..."), read by libpq's own parser so that it
// means here what it means everywhere else.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "levels/core/result.hpp"

namespace ratchet::db {

// One server to try.
struct Target {
  std::string host;     // a name, an address, a folder of unix sockets, or empty: libpq's default
  std::string address;  // hostaddr: where to connect to, when given
  std::string port;     // never empty
  bool by_socket() const noexcept { return address.empty() && (host.empty() || host[0] == '/' || host[0] == '@'); }
  std::string where() const;  // for people: "db1:5432", "[::1]:5432", "/run/postgresql/.s.PGSQL.5432"
};

class Conninfo {
 public:
  // The error is one line without secrets.
  static Result<Conninfo, std::string> parse(const std::string& dsn);

  std::string get(const std::string& key) const;  // "" when not set
  void set(const std::string& key, std::string value) { values_[key] = std::move(value); }
  void set_default(const std::string& key, const std::string& value) { values_.try_emplace(key, value); }

  // One per entry of the lists in host, hostaddr and port; at least one.
  std::vector<Target> targets() const;
  // The same, for one server only.
  Conninfo with(const Target& target) const;
  // "host='...' port='...'": holds the password.
  std::string text() const;
  // All targets, for people: "db1:5432, db2:5432".
  std::string where() const;

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace ratchet::db
