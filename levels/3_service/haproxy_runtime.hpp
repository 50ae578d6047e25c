// Tells HAProxy by its runtime API (stats socket, level admin) what to do with our server. One command a connection;
// all sockets are asked at the same time, so one that hangs keeps no other waiting. An empty reply is success.
//
//   register    "set server B/S state ready"
//   heartbeat   the same where HAProxy is another process than at the last register (a reload forgets us), and nothing
//               else: it would undo an operator's `state drain`
//   drain       "state drain": synchronous, nothing new comes afterwards
//   status      done when the server has no session in use (`scur` of "show stat")
//   deregister  "state maint": sticky clients, too. Then its health checks end, so HAProxy says no more what it thinks
//               of us, and the drain is told here that this node is done
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levels/0_baseline/health.hpp"
#include "levels/1_database/resolver.hpp"
#include "levels/3_service/registrars.hpp"

namespace ratchet::service {

// What came back from one socket.
struct RuntimeReply {
  bool reached = false;
  std::string text;  // the reply without trailing blank lines; else why it was not reached
};

// What HAProxy's reply to "set server" means. "No such server." is success for who leaves.
Told told_by(const RuntimeReply& reply, bool leaving);
// "Pid: 12" in "show info"; empty where it does not stand there.
std::string field_of_info(std::string_view info, std::string_view name);
// `scur` of that server in "show stat" (CSV); empty: no such server.
std::optional<unsigned long> sessions_of(std::string_view stat, std::string_view backend, std::string_view server);

class HaproxyRuntime final : public Balancer {
 public:
  HaproxyRuntime(std::vector<std::string> sockets, std::string server, Health& health, const TimeSource& time);
  Told tell(Verb verb, Leave leave, Patience& patience) override;

 private:
  using Replies = std::vector<RuntimeReply>;  // one for each socket
  Replies ask(const std::string& command, Patience& patience);
  Told all(const Replies& replies, bool leaving) const;
  Told make_ready(bool only_new, Patience& patience);
  Told leave_for_good(Patience& patience);
  Told are_idle(Patience& patience);
  int connect(const std::string& socket, Patience& patience, std::string& why);
  std::string set_state(std::string_view state) const {
    return "set server " + server_ + " state " + std::string(state);
  }

  const std::vector<std::string> sockets_;
  const std::string server_;
  Health& health_;
  const TimeSource& time_;
  db::Resolver resolver_;
  std::vector<std::string> processes_;  // pid and start of the HAProxy that was last told ready; empty: none
};

}  // namespace ratchet::service
