// A PostgreSQL connection string (conninfo or URI, as libpq reads them), taken apart just far enough to lift the
// password out of it, so that what is left may be shown.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ratchet {

struct SplitDsn {
  std::string rest;                     // without the password
  std::optional<std::string> password;  // decoded
  bool key_password = false;            // an sslpassword stands in `rest`
  std::string error;                    // not a connection string; never quotes it. Empty: all well
};

SplitDsn split_dsn(std::string_view dsn);

}  // namespace ratchet
