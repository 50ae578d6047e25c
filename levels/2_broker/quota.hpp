// What a quota of Kafka grants us (producer_byte_rate, request_percentage). A broker over whose quota we are takes a
// batch, answers at once how long it will not read from that connection, and means it: whatever is sent meanwhile waits
// unread, a probe as well as the next batch, until a request's time is over and the connection looks dead. So nothing
// is sent before that time is over, silence until then proves nothing, and waves shrink until one of them is home, and
// its wait over, within half a second.
//
// Bookkeeping only: no thread, no clock. Whoever uses it holds one lock around every call.
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <optional>

#include "levels/core/clock.hpp"

namespace ratchet::kafka {

class Quota {
 public:
  static constexpr Duration kWave = std::chrono::milliseconds(500);  // a wave and the wait after it
  static constexpr Duration kEnds = std::chrono::seconds(15);        // not held back for so long: there is no quota
  static constexpr Duration kTells = std::chrono::seconds(3);        // held back again and again, or once, for so long
  static constexpr Duration kAnswer = std::chrono::seconds(1);       // after the wait, for what waited unread
  static constexpr std::size_t kLeast = 1024;                        // bytes of a wave
  // Waits no longer than this may come from a quota of time (Kafka bounds them so), which counts requests more than
  // bytes: for their sake no wave gets smaller than `kFew`.
  static constexpr Duration kOfTime = std::chrono::seconds(1);
  static constexpr std::size_t kFew = 16 * 1024;
  static constexpr std::size_t kNoBound = std::numeric_limits<std::size_t>::max();

  // Broker `node` will not read from our connection for that long. 0: it reads again.
  void held_back(int node, Duration wait, TimePoint now);
  // A new connection is read from at once.
  void connection_lost(int node) noexcept;
  // A wave of so many bytes is home, `took` after it was sent.
  void wave(std::size_t bytes, Duration took, TimePoint now);

  std::size_t most_bytes() const noexcept { return most_; }  // of a wave
  TimePoint until() const noexcept { return until_; }        // nothing is sent before
  // Some broker may be silent because it does not read: no answer proves nothing.
  bool deaf(TimePoint now) const noexcept;

  struct Said {
    int node;
    Duration longest;         // wait of this quota's time
    double bytes_per_second;  // that were taken
  };
  std::optional<Said> said(TimePoint now) const noexcept;  // empty: none, or none worth a word

 private:
  double rate(TimePoint now) const noexcept;  // since it began

  std::map<int, TimePoint> deaf_until_;
  TimePoint until_{};
  std::size_t most_ = kNoBound;
  Duration in_this_wave_{};  // the longest wait

  // Since it began; each counts until kEnds after `last_`.
  std::optional<TimePoint> since_;
  TimePoint last_{};
  int node_ = 0;
  Duration longest_{};
  std::size_t bytes_ = 0;
};

}  // namespace ratchet::kafka
