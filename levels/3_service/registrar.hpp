// The supervision of one registrar: when which verb is told to whoever balances for us. Pure: the time, `chance`
// (uniform in [0, 1)) and what came of each try are arguments; what is to be done is the answer.
//
//   here    register until it succeeds, for ever, resting 0.1 .. 5 s between tries (full jitter, doubling); then a
//           heartbeat every so often, which registers again: a balancer that was restarted has forgotten us
//   away    drain (one try), status until it says that nothing comes any more (half of the time at most), deregister
//           until it succeeds or the time for leaving is over: then we leave all the same, and it is alarmed
//
// At most one verb is under way. One that the wish has overtaken is broken off (a register by `away`; a drain or
// status by `here`), a deregister is not: what comes after waits for it. So nothing is ever registered after it was
// deregistered, unless it was wished anew. A register that was broken off or not answered may still be carried out by
// the other side, later: whoever leaves after one of those deregisters a second time, a second after the first.
//
// There is no breaker: who waits is one thread, and its rest grows to 5 s, which asks less than a breaker's probes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "levels/core/clock.hpp"

namespace ratchet::service {

enum class Verb : std::uint8_t { register_, drain, status, deregister, heartbeat };
std::string_view to_string(Verb verb) noexcept;  // "register"

// What a try came to.
struct Told {
  enum class Word : std::uint8_t {
    done,    // also: it was so already
    again,   // not yet, or not reached; trying again may help
    failed,  // refused; tried again all the same, for nobody knows what a person mends meanwhile
  } word = Word::done;
  std::string text;  // why not, one line
};

struct RegistrationSettings {
  Duration timeout = std::chrono::seconds(2);
  Duration heartbeat = std::chrono::seconds(10);
  Duration deregister = std::chrono::seconds(10);
  bool has_drain = true;
  bool has_status = true;
};

class Registration {
 public:
  explicit Registration(const RegistrationSettings& settings) noexcept : settings_(settings) {}

  struct Order {
    Verb verb;
    TimePoint due;  // it must have been answered by then
  };
  struct Next {
    std::optional<Order> order;  // to be answered by told(), once
    bool cut = false;            // the one under way is to be broken off; it is still answered
  };
  Next want(bool here, TimePoint now, double chance);
  Next told(const Told& told, TimePoint now, double chance);
  Next tick(TimePoint now, double chance);   // wake_at() has come
  std::optional<TimePoint> wake_at() const;  // empty: nothing to do until want() or told()

  bool registered() const noexcept { return registered_; }
  bool left() const noexcept { return !here_ && (stage_ == Stage::out || stage_ == Stage::repeat); }
  bool gave_up() const noexcept { return gave_up_; }                // on leaving: the time for it was over
  const std::string& trouble() const noexcept { return trouble_; }  // of the last try; empty when all is well
  unsigned tries() const noexcept { return tries_; }                // since the last wish

 private:
  enum class Stage : std::uint8_t { drain, status, deregister, repeat, out };
  Next decide(TimePoint now, double chance);
  Order fly(Verb verb, TimePoint due);
  void after(Verb verb, const Told& told, TimePoint now, double chance);
  void failed(Verb verb, const Told& told, TimePoint now, double chance);
  bool overtaken(Verb verb) const noexcept;
  Verb verb_of_stage() const noexcept;

  RegistrationSettings settings_;
  bool here_ = false;
  bool registered_ = false;
  bool doubtful_ = false;  // a register may still be carried out by the other side
  bool gave_up_ = false;
  bool cut_ = false;
  std::optional<Verb> flying_;
  Stage stage_ = Stage::out;
  TimePoint next_{};
  TimePoint leave_by_{};
  TimePoint status_by_{};
  unsigned failures_ = 0;  // in a row
  unsigned tries_ = 0;
  std::string trouble_;
};

}  // namespace ratchet::service
