#include "levels/1_database/commit_attempt.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <utility>

#include "levels/1_database/blame.hpp"

namespace ratchet::db {
namespace {

const std::string append_name = "ratchet_append";
constexpr int kRepeats = 3;  // of a statement that lost a race, at once

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
    if (last_error_->kind == SqlError::Kind::lost) {
      environment_ = last_error_;
      for (std::size_t i = 0; i < rows.rows(); ++i)
        outcomes.set(first + i, Committed::outcome_unknown);
      return false;
    }
    if (ends_here(*last_error_)) return false;
    if (blame(*last_error_) != Blame::race || repeat == kRepeats || parts_.give_up()) return false;
  }
}

// No row's fault, so trying parts would fail each time.
bool CommitAttempt::ends_here(const SqlError& error) {
  const Blame whose = blame(error);
  if (whose == Blame::server) environment_ = error;
  if (whose != Blame::unclear) return environment_.has_value();
  constexpr Parameter kNothing{"{}", false, false};
  std::array<Parameter, Batch::kColumns> nothing;
  nothing.fill(kNothing);
  parts_.lease.allow_until(parts_.time.now() + parts_.patience);
  auto without_rows = parts_.lease->exec_prepared(append_name, nothing);
  if (without_rows) return false;
  environment_ = std::move(without_rows).error();
  if (environment_->kind == SqlError::Kind::said && blame(*environment_) == Blame::unclear) broken_ = environment_;
  return true;
}

void CommitAttempt::take_duplicates(const Rows& found, const Batch& rows, std::size_t first, CommitOutcomes& outcomes) {
  std::vector<std::string_view> fingerprints(rows.rows());
  auto at = ArrayColumn::begin();
  for (auto& fingerprint : fingerprints)
    fingerprint = rows.fingerprints().element(at);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto row = static_cast<std::size_t>(found.integer(i, 0) - 1);
    assert(row < rows.rows());
    if (says_the_same(found.bytes(i, 1), fingerprints[row])) {
      outcomes.set(first + row, Committed::duplicate, found.bytes(i, 2));
    } else {
      outcomes.set(first + row, Committed::mismatch);
    }
  }
}

void CommitAttempt::refuse(const SqlError& error, bool keyed, std::size_t row, CommitOutcomes& outcomes) {
  switch (blame(error)) {
    case Blame::race:  // again and again: nothing stored
    case Blame::server:
      return;
    case Blame::key_in_flight:
      if (keyed) outcomes.set(row, Committed::in_progress);
      return;
    case Blame::row:
    case Blame::unclear:
      if (!may_pass_by_itself(error)) outcomes.set(row, Committed::refused, error.sqlstate + " " + error.text);
      return;
  }
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
