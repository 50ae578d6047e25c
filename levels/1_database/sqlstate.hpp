// What an error text of PostgreSQL or libpq says. Pure.
#pragma once

#include <string>
#include <string_view>

namespace ratchet::db {

struct Said {
  std::string sqlstate;  // five characters, or empty
  std::string text;      // one line; begins with "FATAL: " where the server ended the session with it
};

// Finds the server's own words ("FATAL:  57P01: terminating connection ...", verbose form) in a text of several
// lines; else the first line that says something, without libpq's preamble.
Said what_was_said(std::string_view text);

}  // namespace ratchet::db
