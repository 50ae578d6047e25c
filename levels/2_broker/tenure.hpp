// One instance's time as the leader of an outbox: what the broker has acknowledged, what of it the database knows,
// how long the lease still counts, and what follows from a page that came back. Decisions only: no thread, no
// connection, no producer.
//
// The cursor moves only over records that were acknowledged without a gap, and only the database's word makes it
// last: whoever leads next starts from the row, never from memory.
#pragma once

#include <optional>

#include "levels/1_database/outbox.hpp"
#include "levels/2_broker/window.hpp"

namespace ratchet::kafka {

class Tenure {
 public:
  struct Times {
    Duration ttl;   // of the lease
    Duration beat;  // renews it
    Duration save;  // the cursor, at most this often
  };
  explicit Tenure(Times times) noexcept : times_(times) {}

  // `asked`: when the call that got, renewed or saved was begun; the server's clock counts from later than that.
  void begin(const db::RelayLease& lease, TimePoint asked);
  void renewed(TimePoint asked) noexcept { beat_at_ = asked; }
  void saved(TimePoint asked);

  std::int64_t epoch() const noexcept { return epoch_; }
  const db::Cursor& done() const noexcept { return done_; }
  bool unsaved() const noexcept { return !(done_ == saved_); }
  TimePoint beat_at() const noexcept { return beat_at_ + times_.beat; }   // due
  TimePoint save_at() const noexcept { return saved_at_ + times_.save; }  // not before
  // The lease still counts, with a fifth to spare: nobody else leads yet.
  bool may_produce(TimePoint now) const noexcept { return now <= beat_at_ + times_.ttl * 4 / 5; }

  // A page without rows: the end of a window, or nothing new. True: the cursor has moved.
  bool pass(const db::Page& page);

  enum class Sequel : std::uint8_t {
    go_on,
    one_by_one,  // the broker refuses batches, not records: only one that is refused alone is guilty
    bury,        // it was alone, or never sent: to the dead letters
    outage,      // the broker or our right to it is gone
    again,       // the rest of the page is read and produced again
  };
  // A page has come back, `acknowledged` of it without a gap. `required`: the topic of the record that failed is one
  // the broker level vouches for; a topic that only some SQL writer names must not take the service down.
  Sequel settle(const db::Page& page, std::size_t acknowledged, const std::optional<Window::Failure>& failure,
                bool required);
  // The row `seq` is in the dead letters, and the cursor `past_it`, by one statement.
  void buried(const db::Cursor& past_it, std::int64_t seq, TimePoint asked);
  // One record at a time until the refused one is past.
  bool careful() const noexcept { return careful_until_.has_value(); }

 private:
  void past(std::int64_t seq) noexcept;

  Times times_;
  std::int64_t epoch_ = 0;
  db::Cursor done_, saved_;           // acknowledged so far; what the database knows of it
  TimePoint beat_at_{}, saved_at_{};  // when the last call that renewed the lease was begun; when saved
  std::optional<std::int64_t> careful_until_;
};

}  // namespace ratchet::kafka
