// How the files that the process may open are shared out. What the ladder, the operators and the probes need is set
// aside first; the connections of the ports get the rest, so that a port at its limit answers instead of leaving
// newcomers in the queue for want of a file. Pure.
#pragma once

#include <cstddef>

#include "config/settings.hpp"

namespace ratchet {

struct FileBudget {
  std::size_t needed = 0;                // for all that the configuration allows
  std::size_t service_connections = 1;   // as configured, or as many as there are files for; at least 1
  std::size_t ops_connections = 1;
};

FileBudget share_files(const Settings& settings, std::size_t most);

}  // namespace ratchet
