// Tells by a program of the operator's: argv, no shell, in a process group of its own. Its exit status is its word:
// 0 done, 75 (EX_TEMPFAIL) again, anything else failed. What it writes is kept up to 64 KiB and told, the last line of
// it, when it did not succeed. At the end of the try's time its whole group is killed; so is what it has left behind
// when it ends by itself. Nothing of it stays, not even a zombie.
#pragma once

#include <string>
#include <vector>

#include "config/settings.hpp"
#include "levels/3_service/registrars.hpp"

namespace ratchet::service {

class ExecHook final : public Balancer {
 public:
  ExecHook(const RegistrarSettings& settings, const std::string& instance, const TimeSource& time);
  Told tell(Verb verb, Leave leave, Patience& patience) override;

 private:
  std::vector<std::string> environment(Verb verb) const;

  const std::vector<std::string> argv_;
  const ListenAddress address_;
  const std::string instance_;
  const TimeSource& time_;
};

}  // namespace ratchet::service
