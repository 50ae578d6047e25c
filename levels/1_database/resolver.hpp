// Names to addresses, with a deadline. getaddrinfo cannot be interrupted (a dead resolver holds it for 20 s), so it
// runs on a helper thread: at most one per Resolver, left to end by itself when nobody waits any more.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "levels/core/fault.hpp"
#include "levels/core/patience.hpp"
#include "levels/core/result.hpp"

namespace ratchet::db {

class Resolver {
 public:
  struct Answer {
    std::vector<std::string> addresses;  // numeric, in the order to be tried
    std::string error;                   // why there are none
  };
  using Lookup = std::function<Answer(const std::string& host)>;  // may block for as long as it likes

  Resolver();                        // the system's resolver
  explicit Resolver(Lookup lookup);

  // At least one address, or a Fault of kind name_resolution. While another name hangs, this one waits for it,
  // never longer than `patience`. Any thread.
  Result<std::vector<std::string>> resolve(const std::string& host, Patience& patience, const TimeSource& time);

 private:
  struct Inside;
  std::shared_ptr<Inside> inside_;  // shared with the helper thread, which may outlive us
};

// "10.0.0.1", "fe80::1%eth0": no resolver needed.
bool is_numeric_address(const std::string& host) noexcept;

}  // namespace ratchet::db
