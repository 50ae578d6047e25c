// What the test servers share: programs, their ends, ports, waiting. Everything throws std::runtime_error.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace ratchet::tests {

// Both ends closed at the latest with this, and never inherited.
struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe();
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_read();
  void close_write();
};

// Starts a program in a process group of its own (Ctrl-C on the terminal is for the test); in, out and err become its
// standard files. Found by PATH.
pid_t spawn(const std::vector<std::string>& argv, int in, int out, int err);
// The same for a server: nothing to read, both outputs appended to the file.
pid_t spawn_logging(const std::vector<std::string>& argv, const std::string& log);
int wait_end(pid_t pid);  // the status of waitpid
// Runs a program to its end, feeding it `input`. What it printed, both outputs. Throws when it fails.
std::string run(const std::vector<std::string>& argv, const std::string& input = {});
// Runs `script` (sh, with `folder` as $0) once this process has closed the pipe's write end, or is gone. Its pid.
pid_t spawn_janitor(const std::string& script, const std::string& folder, Pipe& pipe);

// A fresh folder under /tmp.
std::string make_folder(const std::string& prefix);
std::string text_of(const std::string& file);  // "" where there is none

// A port of 127.0.0.1 that nobody listens on, outside the range the kernel hands out to outgoing connections: it must
// still be free when the server is started again.
std::uint16_t free_port();

// The fields of /proc/PID/stat behind the name. State 0: no such process.
struct ProcessState {
  char state = 0;
  pid_t parent = 0;
};
ProcessState process_state(pid_t pid);
bool gone(pid_t pid);

// False: the patience ended first.
template <class Condition>
bool wait_until(std::chrono::seconds patience, Condition condition) {
  using Clock = std::chrono::steady_clock;
  for (const auto end = Clock::now() + patience; Clock::now() < end;
       std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
    if (condition()) return true;
  }
  return false;
}

}  // namespace ratchet::tests
