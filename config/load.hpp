// From the bytes of a configuration file to Settings, or to the list of all its mistakes at once. Reads nothing but
// the file: no secret, no network.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"

namespace ratchet {

struct Mistake {
  std::string file;
  std::size_t line = 0;  // from 1; 0: the file could not be read at all
  std::string pointer;   // JSON pointer; "" is the whole file
  std::string found;     // what stands there; never a secret
  std::string expected;
  std::string did_you_mean;  // may be empty
};

// Not a mistake, but to be known: the daemon raises the alarm `id` with it.
struct ConfigWarning {
  std::string id;  // "secret.inline"
  std::string pointer;
  std::string text;
};

struct Loaded {
  std::optional<Settings> settings;  // exactly when there is no mistake
  std::vector<Mistake> mistakes;
  std::vector<ConfigWarning> warnings;
};

// `hostname`: the default instance; empty: asked of the system. Any thread, never throws but for want of memory.
Loaded load(std::string_view json_text, std::string file_name, std::string hostname = {});

// The same for a file; one that cannot be read is a mistake like others.
Loaded load_file(const std::string& path, std::string hostname = {});

// One line: "FILE:LINE: POINTER: found: ..., expected: ...; did you mean ...?"
std::string to_string(const Mistake& mistake);
std::string to_string(const std::vector<Mistake>& mistakes);  // one line each

}  // namespace ratchet
