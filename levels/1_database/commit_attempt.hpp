// Stores one batch on one connection and finds out the fate of every row. The batch goes as one statement. What the
// server refuses as a whole is tried in parts of sqrt(n) rows, and a part that is refused again row by row, always in
// arrival order: one bad row among 10,000 costs some 200 statements, and no neighbour pays for it.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "levels/1_database/batch.hpp"
#include "levels/1_database/pool.hpp"

namespace ratchet::db {

// One outcome per row, in the batch's order. Views point into the batch and into this.
class CommitOutcomes {
 public:
  void begin(const Batch& batch);  // all nothing_stored, until told
  void set(std::size_t row, Committed committed) noexcept { list_[row].committed = committed; }
  void set(std::size_t row, Committed committed, std::string reply);
  void end() noexcept;  // only answers keep a reply
  void clear() noexcept;
  const std::vector<Outcome>& list() const noexcept { return list_; }
  std::size_t count(Committed committed) const noexcept;

 private:
  std::vector<Outcome> list_;
  std::deque<std::string> texts_;  // replies that came from the server
};

// Prepares `ratchet.append` on a connection; again is no error.
std::optional<SqlError> prepare_append(Connection& connection);

class CommitAttempt {
 public:
  struct Parts {
    Lease& lease;  // append prepared on it
    const TimeSource& time;
    std::chrono::milliseconds patience;  // of one call, and of all the parts together
    std::function<bool()> give_up;       // asked between statements: what is not begun stays nothing_stored
  };
  explicit CommitAttempt(Parts parts) : parts_(std::move(parts)) {}

  void store(Batch& batch, CommitOutcomes& outcomes);

  bool lost() const noexcept { return environment_ && environment_->kind == SqlError::Kind::lost; }
  const std::optional<SqlError>& first_error() const noexcept { return first_error_; }  // of the whole batch
  const std::optional<SqlError>& environment() const noexcept { return environment_; }  // not a row's fault: ended here
  // Our own statement is refused even without a row in it, and nothing that passes by itself is why.
  const std::optional<SqlError>& broken() const noexcept { return broken_; }

 private:
  bool call(Batch& rows, std::size_t first, CommitOutcomes& outcomes);
  void take_duplicates(const Rows& found, const Batch& rows, std::size_t first, CommitOutcomes& outcomes);
  bool ends_here(const SqlError& error);
  void refuse(const SqlError& error, bool keyed, std::size_t row, CommitOutcomes& outcomes);
  void in_parts(const Batch& batch, std::size_t size, std::size_t first, CommitOutcomes& outcomes);

  Parts parts_;
  TimePoint until_{};
  std::optional<SqlError> first_error_, last_error_, environment_, broken_;
};

}  // namespace ratchet::db
