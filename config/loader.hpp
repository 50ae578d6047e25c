// The walk over a parsed file, row by row of the table: what load() does once the text is JSON.
#pragma once

#include <string>

#include "config/json_reader.hpp"
#include "config/load.hpp"

namespace ratchet {

Loaded read_settings(const JsonValue& root, std::string file, std::string hostname);

}  // namespace ratchet
