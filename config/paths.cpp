#include "config/paths.hpp"

#include <cstdlib>

namespace ratchet {

std::string default_control_path() {
  const char* runtime = std::getenv("RUNTIME_DIRECTORY");
  if (runtime == nullptr || *runtime == '\0') return "/run/ratchetd/control.sock";
  const std::string_view all(runtime);
  return std::string(all.substr(0, all.find(':'))) + "/control.sock";
}

std::string control_path(const Settings& settings) {
  return settings.ops.control.empty() ? default_control_path() : settings.ops.control;
}

}  // namespace ratchet
