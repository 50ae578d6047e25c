// The control socket: verbs for operators, on a unix socket only (0660, group ratchetd). One JSON line in, one out.
// Only a socket that nobody listens on is replaced (http::Listener's rule). Anything else at its path is left alone:
// alarm, try again each second. At most 16 clients whose request is still to come (the oldest goes for a newcomer, and
// each after 10 s), and 64 that wait for a level or a command's end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/mailbox.hpp"
#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/status_board.hpp"
#include "levels/1_database/databases.hpp"

namespace ratchet {

class Control {
 public:
  struct Parts {
    std::string path;
    const StatusBoard& board;
    Mailbox& mailbox;
    std::function<void(bool paused)> pause_relay;
    std::function<std::vector<db::PoolStatus>()> pools;
    std::function<Result<int, std::string>(std::string_view pool)> reconnect;  // how many connections, or why not
    const TimeSource& time;
    Log& log;
    AlarmBoard& alarms;
    // The kill switch of a route; what happens now, or why not.
    std::function<CommandReply(const std::string& path, bool on, const std::string& why)> switch_route;
  };
  explicit Control(Parts parts);  // starts its thread, which also tries to bind
  ~Control();                     // answers nobody any more; removes the socket

 private:
  class Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ratchet
