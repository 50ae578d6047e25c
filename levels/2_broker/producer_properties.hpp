// What librdkafka is told: our defaults, the user's properties over them, and over those what the promise rests on.
#pragma once

#include <map>
#include <string>

#include "config/settings.hpp"
#include "levels/core/fault.hpp"
#include "levels/core/result.hpp"

namespace ratchet::kafka {

struct PropertyRefused {
  FaultKind kind;    // authentication: a secret that cannot be read
  std::string text;  // names the property
};

// Reads the secrets each time. Refused: a property that is ours, a secret that cannot be read.
Result<std::map<std::string, std::string>, PropertyRefused> producer_properties(const BrokerSettings& settings,
                                                                                const std::string& client_id);

}  // namespace ratchet::kafka
