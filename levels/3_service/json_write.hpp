// Writing the few JSON texts we write ourselves, by appending.
#pragma once

#include <string>
#include <string_view>

namespace ratchet::service {

// `text` as the inside of a JSON string, escaped. Bytes that are not UTF-8 become U+FFFD.
void append_escaped(std::string& out, std::string_view text);

}  // namespace ratchet::service
