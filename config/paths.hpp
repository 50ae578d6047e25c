// Where things are when nobody says otherwise.
#pragma once

#include <string>
#include <string_view>

#include "config/settings.hpp"

namespace ratchet {

inline constexpr std::string_view kDefaultConfigPath = "/etc/ratchetd/ratchetd.json";

// The control socket: ops.control, else $RUNTIME_DIRECTORY/control.sock (the first entry, where systemd names
// several), else /run/ratchetd/control.sock.
std::string control_path(const Settings& settings);
// The same without a configuration, for ratchetctl.
std::string default_control_path();

}  // namespace ratchet
