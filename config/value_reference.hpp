// ":body.a.b", ":header.x", ":query.x": where a value of an event comes from. Anything that does not start with a
// colon is a literal.
#pragma once

#include <string>
#include <string_view>

#include "config/settings.hpp"

namespace ratchet {

struct ParsedReference {
  Reference reference;
  std::string error;         // what is wrong with it; empty: all well
  std::string did_you_mean;  // may be empty
};

// For the key of an event route: whole documents (":body", ":row") and path parameters are refused.
ParsedReference parse_reference(std::string_view text);
// "body.a": a literal that is rather a reference without its colon.
bool looks_like_a_reference(std::string_view text) noexcept;

}  // namespace ratchet
