// The few sockets of registrars that are neither the service's port nor a vendor's.
#pragma once

#include <string>

#include "config/settings.hpp"

namespace ratchet::service {

// A listening TCP socket, non-blocking, SO_REUSEADDR. -1 and `why` where it is not to be had.
int listen_on(const ListenAddress& address, std::string& why);

// Begins to connect (non-blocking) to a unix socket's path, or a numeric host and a port. -1 and `why`.
int connect_to_path(const std::string& path, std::string& why);
int connect_to(const std::string& numeric_host, std::uint16_t port, std::string& why);

}  // namespace ratchet::service
