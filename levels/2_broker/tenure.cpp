#include "levels/2_broker/tenure.hpp"

#include <algorithm>

#include "levels/2_broker/verdict.hpp"

namespace ratchet::kafka {

void Tenure::begin(const db::RelayLease& lease, TimePoint asked) {
  epoch_ = lease.epoch;
  done_ = saved_ = lease.cursor;
  beat_at_ = saved_at_ = asked;
  careful_until_.reset();
}

void Tenure::saved(TimePoint asked) {
  saved_ = done_;
  saved_at_ = beat_at_ = asked;
}

bool Tenure::pass(const db::Page& page) {
  careful_until_.reset();
  if (page.after == done_) return false;
  done_ = page.after;
  return true;
}

Tenure::Sequel Tenure::settle(const db::Page& page, std::size_t acknowledged,
                              const std::optional<Window::Failure>& failure, bool required) {
  done_ = db::cursor_after(done_, page, acknowledged);
  if (acknowledged > 0) past(page.rows[acknowledged - 1].seq);
  if (!failure) return Sequel::go_on;
  if (failure->unsent && failure->index == acknowledged) return Sequel::bury;
  Verdict meaning = verdict(failure->code);
  if (is_about_topic(failure->code) && !required) meaning = Verdict::poison;
  if (meaning == Verdict::outage) return Sequel::outage;
  if (meaning != Verdict::poison) return Sequel::again;
  if (page.rows.size() == 1) return Sequel::bury;
  const std::int64_t seq = page.rows[failure->index].seq;
  careful_until_ = std::max(careful_until_.value_or(seq), seq);
  return Sequel::one_by_one;
}

void Tenure::buried(const db::Cursor& past_it, std::int64_t seq, TimePoint asked) {
  done_ = past_it;
  saved(asked);
  past(seq);
}

void Tenure::past(std::int64_t seq) noexcept {
  if (careful_until_ && seq >= *careful_until_) careful_until_.reset();
}

}  // namespace ratchet::kafka
