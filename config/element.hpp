// The texts that lists hold.
#pragma once

#include <string_view>

#include "config/keys.hpp"

namespace ratchet {

// May `text` be an element of the list whose elements have this row?
bool is_element(const Key& row, std::string_view text);

}  // namespace ratchet
