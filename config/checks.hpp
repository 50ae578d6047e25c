// The checks that need more than one key: what each key may be by itself is in the table.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "config/settings.hpp"

namespace ratchet {

struct CrossMistake {
  std::string pointer;
  std::string found;
  std::string expected;
  std::string did_you_mean{};
};

// `sound(pointer)`: nothing at or below it was mistaken by itself. Only sound values are compared, so that one
// mistake is told once.
void check_together(const Settings& settings, const std::function<bool(std::string_view)>& sound,
                    const std::function<void(CrossMistake)>& report);

}  // namespace ratchet
