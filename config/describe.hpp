// A JSON value and its place in words, for mistakes.
#pragma once

#include <string>
#include <string_view>

#include "config/json_reader.hpp"

namespace ratchet {

// One step of a JSON pointer (RFC 6901): "a/b" -> "/a~1b".
std::string pointer_step(std::string_view name);

// "string \"abc\"", "integer 5", "list of 3": what was found. `hidden`: of a secret, its type only.
std::string describe(const JsonValue& value, bool hidden);

}  // namespace ratchet
