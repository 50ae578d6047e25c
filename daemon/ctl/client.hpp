// The client's side of the control socket.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

namespace ratchet::ctl {

using Json = nlohmann::ordered_json;

struct Answer {
  int exit_code = 0;  // 0, 1 refused or timed out, 69 no daemon, 75 busy
  std::string error;  // one line, when exit_code is not 0
  Json body;
};

// The one given, else $RATCHET_SOCKET, else $RUNTIME_DIRECTORY/control.sock, else /run/ratchetd/control.sock.
std::string socket_path(const std::string& given);

class Client {
 public:
  explicit Client(std::string path) : path_(std::move(path)) {}
  Answer ask(const Json& request) const;
  // Also waits for the daemon itself to appear, within the request's timeout_ms.
  Answer wait(Json request) const;
  // Restarts, by systemctl, the unit whose process holds the socket; the unit's own ExecStop tells the daemon what this
  // stop is. Returns only if it could not.
  Answer restart() const;

 private:
  Answer ask_within(const Json& request, std::chrono::milliseconds patience) const;
  std::string path_;
};

}  // namespace ratchet::ctl
