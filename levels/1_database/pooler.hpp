// Is there a pooler that gives each transaction, or each statement, another server session? Then nothing of what we
// keep in a session is ours: settings, prepared statements, the relay's lease. It tells nobody; its backends do: two of
// our connections on one backend, or one connection on two. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ratchet::db {

class PoolerCheck {
 public:
  // Connection `which` was told at its beginning to have the backend `told`, and one transaction found it on `found`.
  void saw(std::size_t which, int told, int found);

  // Somebody is between us and the server, of whatever mode: worth more transactions to find out.
  bool suspected() const noexcept { return suspected_; }
  // One line for people, when sessions are not ours.
  const std::optional<std::string>& proof() const noexcept { return proof_; }

 private:
  std::vector<int> backends_;  // of each connection, 0: not seen yet
  bool suspected_ = false;
  std::optional<std::string> proof_;
};

}  // namespace ratchet::db
