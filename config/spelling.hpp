// "Did you mean ...?"
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ratchet {

// The candidate nearest to `written`, or "" where none is near enough: a slip or two (a letter missing, wrong, too
// many, two swapped), another case, or a name cut short ("idle" for "idle_ms").
std::string closest(std::string_view written, const std::vector<std::string_view>& candidates);

}  // namespace ratchet
