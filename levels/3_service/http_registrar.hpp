// Tells a registry (Consul, a sidecar, anything in-house) by HTTP requests that the configuration spells out. The one
// file that knows libcurl is the .cpp. No proxy, no redirects, certificates verified, the whole try within its time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "config/settings.hpp"
#include "levels/3_service/registrars.hpp"

namespace ratchet::service {

// What stands for {host}, {port}, {id}, {level}; secrets as {secret:NAME}. Every other brace stands as it is.
using Fillings = std::map<std::string, std::string, std::less<>>;
std::string filled(std::string_view phrase, const Fillings& fillings);

// What a status code means to this request. 5xx, 408 and 429: again; every other code that is neither ok nor done:
// failed. `answer`: the body, of which the first line is told.
Told told_by(const RequestTemplate& request, long status, std::string_view answer);

class HttpRegistrar final : public Balancer {
 public:
  HttpRegistrar(const RegistrarSettings& settings, const std::string& instance, const TimeSource& time);
  ~HttpRegistrar() override;
  Told tell(Verb verb, Leave leave, Patience& patience) override;

 private:
  class Client;
  const RegistrarSettings settings_;
  const std::string instance_;
  const TimeSource& time_;
  std::unique_ptr<Client> client_;
};

}  // namespace ratchet::service
