// Which keys of a registrar belong to which type, and the checks of registrars that need more than one key.
#pragma once

#include <vector>

#include "config/checks.hpp"

namespace ratchet {

// "haproxy-agent", as it is written in a configuration.
std::string_view to_string(RegistrarType type) noexcept;

bool belongs_to_registrar(RegistrarType type, std::string_view key) noexcept;
std::vector<std::string_view> needed_by_registrar(RegistrarType type);

// Why `name` may be no member of that map of a registrar; empty: it may. `map`: the pointer of the map's row.
std::string registrar_name_fault(std::string_view map, std::string_view name);

// Fills `address`. `spots`: the pointers of settings.service.registrars, one each. The rest as in checks.hpp.
void check_registrars(Settings& settings, const std::vector<std::string>& spots,
                      const std::function<bool(std::string_view)>& sound,
                      const std::function<void(CrossMistake)>& report);

}  // namespace ratchet
