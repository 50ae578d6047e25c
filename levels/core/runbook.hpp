// What a person does about a fault: one line for every kind, shown with the alarm. The alarm's text says what is
// wrong and where; this says what to do, so it names commands and settings rather than servers.
#pragma once

#include <string_view>

#include "levels/core/fault.hpp"

namespace ratchet {

std::string_view runbook(FaultKind kind) noexcept;

}  // namespace ratchet
