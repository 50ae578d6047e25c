#include "config/settings.hpp"

namespace ratchet {

std::string to_string(const ListenAddress& address) {
  if (address.is_local()) return "unix:" + address.path;
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

}  // namespace ratchet
