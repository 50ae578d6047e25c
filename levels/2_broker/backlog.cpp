#include "levels/2_broker/backlog.hpp"

#include <algorithm>

namespace ratchet::kafka {
namespace {

// Two readings of one row's age differ by what passes between two looks at the server's clock.
constexpr double kJitter = 0.01;

}  // namespace

void Backlog::begin(TimePoint now) noexcept { seen_at_ = now; }

// A backlog is counted, or bounded from above by numbers that only go up: less of it, or another one that is the
// oldest, is progress, whoever made it.
bool Backlog::has_moved(const db::OutboxStats& stats) const noexcept {
  return !stats_ || stats.unpublished_rows < stats_->unpublished_rows || stats.oldest_at > stats_->oldest_at + kJitter;
}

void Backlog::looked(const db::OutboxStats& stats, TimePoint now) {
  if (stats.unpublished_rows == 0) {
    stands_since_.reset();
  } else if (!stands_since_ || has_moved(stats)) {
    stands_since_ = now;
  }
  stats_ = stats;
  seen_at_ = measured_at_ = now;
}

void Backlog::carried(TimePoint now) noexcept {
  if (stands_since_) stands_since_ = now;
}

const db::OutboxStats* Backlog::known(TimePoint now) const noexcept {
  return stats_ && now - measured_at_ <= times_.fresh ? &*stats_ : nullptr;
}

std::optional<Duration> Backlog::standing(TimePoint now) const noexcept {
  if (!stands_since_ || known(now) == nullptr) return std::nullopt;
  return now - *stands_since_;
}

Backlog::Budget Backlog::judge(TimePoint now) {
  const Duration blind = std::max(times_.fresh, std::min<Duration>(times_.blind, budget_.max_age));
  if (unseen(now) >= blind) return Budget::unknown;
  if (!stats_) return Budget::kept;
  const double most = over_ ? 0.9 : 1.0;
  // What waited at the latest look waits still, for all that is known.
  const double unseen_s = stats_->unpublished_rows > 0 ? std::chrono::duration<double>(unseen(now)).count() : 0;
  over_ = static_cast<double>(stats_->unpublished_rows) > most * static_cast<double>(budget_.max_rows) ||
          static_cast<double>(stats_->bytes) > most * static_cast<double>(budget_.max_bytes) ||
          stats_->oldest_seconds + unseen_s > most * static_cast<double>(budget_.max_age.count());
  return over_ ? Budget::spent : Budget::kept;
}

}  // namespace ratchet::kafka
