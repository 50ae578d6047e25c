#include "config/settings.hpp"

namespace ratchet {

std::string to_string(const ListenAddress& address) {
  if (address.is_local()) return "unix:" + address.path;
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

std::vector<std::string> balancers_of(const ServiceSettings& service) {
  if (service.balancers) return *service.balancers;
  std::vector<std::string> all = {"127.0.0.0/8", "::1"};
  if (service.listen.is_local()) all.emplace_back("unix:");
  all.insert(all.end(), service.trusted_proxies.begin(), service.trusted_proxies.end());
  return all;
}

}  // namespace ratchet
