// Starting a thread is asking the environment: TasksMax, RLIMIT_NPROC or memory may say no. That is a value here,
// never an exception, so that whoever raises a level can name it.
#pragma once

#include <pthread.h>

#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace ratchet {

// Empty: `thread` runs `body` under that name (15 characters at most). Else the reason, to follow "no thread for …: ".
template <class Body>
std::optional<std::string> start_thread(std::thread& thread, const char* name, Body body) {
  try {
    thread = std::thread(std::move(body));
  } catch (const std::system_error& error) {
    return std::string(error.what()) + " (raise TasksMax or the limit of processes)";
  }
  pthread_setname_np(thread.native_handle(), name);
  return std::nullopt;
}

}  // namespace ratchet
