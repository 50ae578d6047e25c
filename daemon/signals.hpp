// SIGTERM, SIGINT and SIGHUP become mail. No signal handler exists: the signals are blocked everywhere and read by
// one small thread, so nothing here has to be async-signal-safe.
#pragma once

#include <functional>
#include <thread>

#include "daemon/mailbox.hpp"

namespace ratchet {

// Blocks the three and ignores SIGPIPE. Before the first thread is made: threads inherit it.
void block_signals();

class Signals {
 public:
  // The first SIGTERM or SIGINT stops, the second makes the way down hurry, the third calls `third` (default: a
  // line to stderr and _exit(1)). SIGHUP is passed on. Needs block_signals().
  explicit Signals(Mailbox& mailbox, std::function<void()> third = {});
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  void run();

  Mailbox& mailbox_;
  std::function<void()> third_;
  int signal_fd_ = -1;
  int end_fd_ = -1;
  std::thread thread_;
};

}  // namespace ratchet
