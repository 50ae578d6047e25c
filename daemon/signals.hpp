// SIGTERM, SIGINT and SIGHUP become mail, SIGUSR1 a call. No signal handler exists: the signals are blocked everywhere
// and read by one small thread, so nothing here has to be async-signal-safe.
#pragma once

#include <functional>
#include <thread>

#include "daemon/mailbox.hpp"

namespace ratchet {

// Blocks them and ignores SIGPIPE. Before the first thread is made: threads inherit it.
void block_signals();

class Signals {
 public:
  // The first SIGTERM or SIGINT stops, the second makes the way down hurry, the third calls `third` (default: a
  // line to stderr and _exit(1)). SIGHUP is passed on. SIGUSR1 (the stop that follows is half of a restart) calls
  // `restart`, before a SIGTERM that came with it is read. Needs block_signals().
  explicit Signals(Mailbox& mailbox, std::function<void()> third = {}, std::function<void()> restart = {});
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  void run();

  Mailbox& mailbox_;
  std::function<void()> third_, restart_;
  int signal_fd_ = -1;
  int end_fd_ = -1;
  std::thread thread_;
};

}  // namespace ratchet
