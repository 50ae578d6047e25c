// A daemon's answer for people.
#pragma once

#include <string>

#include "daemon/ctl/client.hpp"

namespace ratchet::ctl {

// A status becomes a headline, one line per level and one per alarm; pools a line or two each; anything else its "done" text.
std::string to_text(const Json& answer);

}  // namespace ratchet::ctl
