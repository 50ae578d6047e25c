#include "levels/1_database/commit_attempt.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <utility>

namespace ratchet::db {
namespace {

const std::string append_name = "ratchet_append";
constexpr int kRepeats = 3;  // of a statement that lost a race, at once

// The key's bucket ended meanwhile, or a deadlock was resolved against us.
bool lost_a_race(const SqlError& error) { return error.sqlstate == "40001" || error.sqlstate == "40P01"; }

// No row's fault, so trying parts would fail each time: connection, authorisation, catalogue, resources, operator.
bool is_environment(const SqlError& error) {
  static constexpr std::array<std::string_view, 11> kClasses = {"08", "25", "28", "3D", "3F", "42",
                                                                "53", "57", "58", "F0", "55"};
  if (error.kind == SqlError::Kind::lost) return true;
  if (error.sqlstate == "55P03") return false;  // a key in flight elsewhere
  return std::any_of(kClasses.begin(), kClasses.end(), [&](auto c) { return error.sqlstate.starts_with(c); });
}

std::size_t part_of(std::size_t rows) {
  return rows <= 8 ? 1 : static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(rows))));
}

}  // namespace

void CommitOutcomes::begin(const Batch& batch) {
  list_.clear();
  list_.reserve(batch.rows());
  auto at = ArrayColumn::begin();
  for (const auto token : batch.tokens()) {
    list_.push_back({token, Committed::nothing_stored, batch.replies().element(at)});
  }
}

void CommitOutcomes::set(std::size_t row, Committed committed, std::string reply) {
  list_[row].committed = committed;
  list_[row].reply = texts_.emplace_back(std::move(reply));
}

void CommitOutcomes::end() noexcept {
  for (auto& outcome : list_) {
    const auto c = outcome.committed;
    if (c != Committed::stored && c != Committed::duplicate && c != Committed::refused) outcome.reply = {};
  }
}

void CommitOutcomes::clear() noexcept {
  list_.clear();
  texts_.clear();
}

std::size_t CommitOutcomes::count(Committed committed) const noexcept {
  return static_cast<std::size_t>(
      std::count_if(list_.begin(), list_.end(), [&](const Outcome& o) { return o.committed == committed; }));
}

std::optional<SqlError> prepare_append(Connection& connection) {
  auto done =
      connection.prepare(append_name,
                         "select ord, fp, reply from ratchet.append($1::uuid[], $2::bytea[], $3::bytea[], $4::text[], "
                         "$5::bytea[], $6::jsonb[], $7::bytea[])");
  if (done || done.error().sqlstate == "42P05") return std::nullopt;
  return done.error();
}

void CommitAttempt::store(Batch& batch, CommitOutcomes& outcomes) {
  outcomes.begin(batch);
  until_ = parts_.time.now() + parts_.patience;
  if (!call(batch, 0, outcomes)) {
    first_error_ = last_error_;
    if (!environment_) {
      if (batch.rows() == 1) {
        refuse(*last_error_, batch.has_keys(), 0, outcomes);
      } else {
        in_parts(batch, part_of(batch.rows()), 0, outcomes);
      }
    }
  }
  outcomes.end();
}

// One statement, repeated when it lost a race. False: `last_error_` says why; rows it may have stored are unknown.
bool CommitAttempt::call(Batch& rows, std::size_t first, CommitOutcomes& outcomes) {
  for (int repeat = 0;; ++repeat) {
    parts_.lease.allow_until(parts_.time.now() + parts_.patience);
    auto found = parts_.lease->exec_prepared(append_name, rows.parameters());
    if (found) {
      for (std::size_t i = 0; i < rows.rows(); ++i)
        outcomes.set(first + i, Committed::stored);
      if (found->size() > 0) take_duplicates(*found, rows, first, outcomes);
      return true;
    }
    last_error_ = found.error();
    if (is_environment(*last_error_)) {
      environment_ = last_error_;
      if (lost()) {
        for (std::size_t i = 0; i < rows.rows(); ++i)
          outcomes.set(first + i, Committed::outcome_unknown);
      }
      return false;
    }
    if (!lost_a_race(*last_error_) || repeat == kRepeats || parts_.give_up()) return false;
  }
}

void CommitAttempt::take_duplicates(const Rows& found, const Batch& rows, std::size_t first, CommitOutcomes& outcomes) {
  std::vector<std::string_view> fingerprints(rows.rows());
  auto at = ArrayColumn::begin();
  for (auto& fingerprint : fingerprints)
    fingerprint = rows.fingerprints().element(at);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto row = static_cast<std::size_t>(found.integer(i, 0) - 1);
    assert(row < rows.rows());
    if (found.bytes(i, 1) == fingerprints[row]) {
      outcomes.set(first + row, Committed::duplicate, found.bytes(i, 2));
    } else {
      outcomes.set(first + row, Committed::mismatch);
    }
  }
}

void CommitAttempt::refuse(const SqlError& error, bool keyed, std::size_t row, CommitOutcomes& outcomes) {
  if (lost_a_race(error)) return;  // again and again: nothing stored
  if (error.sqlstate == "55P03") {
    if (keyed) outcomes.set(row, Committed::in_progress);
    return;  // without a key the lock is somebody's on the table
  }
  outcomes.set(row, Committed::refused, error.sqlstate + " " + error.text);
}

void CommitAttempt::in_parts(const Batch& batch, std::size_t size, std::size_t first, CommitOutcomes& outcomes) {
  Batch part;
  Batch::Walk walk(batch);
  for (std::size_t row = 0; row < batch.rows(); row += part.rows()) {
    if (parts_.time.now() >= until_ || parts_.give_up()) return;
    part.clear();
    while (part.rows() < size && row + part.rows() < batch.rows())
      walk.copy_next(part);
    if (call(part, first + row, outcomes)) continue;
    if (environment_) return;
    if (part.rows() == 1) {
      refuse(*last_error_, part.has_keys(), first + row, outcomes);
    } else {
      in_parts(part, 1, first + row, outcomes);
    }
    if (environment_) return;
  }
}

}  // namespace ratchet::db
