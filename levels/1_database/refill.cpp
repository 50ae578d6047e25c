#include "levels/1_database/refill.hpp"

#include <algorithm>

namespace ratchet::db {
namespace {

constexpr auto kReconnect = std::chrono::seconds(2);    // the one attempt after all were lost
constexpr auto kOneMore = std::chrono::seconds(5);      // an attempt while others serve
constexpr auto kPause = std::chrono::milliseconds(50);  // between the steps of the slow start

}  // namespace

void Refill::open() noexcept {
  const int taken = taken_;
  *this = Refill(size_);
  taken_ = taken;
  target_ = 1;
}

int Refill::missing(int live) const noexcept { return std::max(0, std::min(target_, room()) - live); }

std::optional<TimePoint> Refill::due(int live) const noexcept {
  if (urgent_) return TimePoint::min();
  if (missing(live) == 0) return std::nullopt;
  return open_at_;
}

Duration Refill::patience(int live) noexcept { return live == 0 ? Duration(kReconnect) : Duration(kOneMore); }

bool Refill::lost_one(int live) noexcept {
  urgent_ = urgent_ || live == 0;
  return urgent_;
}

void Refill::joined(int live) noexcept {
  if (live == 0 && urgent_) {  // the server came back within one attempt: slowly again
    target_ = 1;
    step_ = 1;
  }
  urgent_ = false;
  too_many_ = false;
}

bool Refill::step(int live, TimePoint now, double chance) noexcept {
  backoff_ = Backoff();
  if (live < std::min(target_, room())) return false;
  if (target_ >= size_) return true;
  step_ *= 2;
  target_ = std::min(size_, target_ + step_);
  open_at_ = now + std::chrono::duration_cast<Duration>(kPause * (0.5 + chance));
  return false;
}

Refill::Verdict Refill::failed(FaultKind kind, int live, bool alone, TimePoint now, double chance) noexcept {
  if (live == 0 && !alone && kind == FaultKind::connection_lost) {
    urgent_ = true;
    return Verdict::at_once;
  }
  if (live == 0) return Verdict::lost;
  too_many_ = kind == FaultKind::too_many_connections;
  open_at_ = now + (too_many_ || needs_a_person(kind) ? backoff_.cap(chance) : backoff_.next(chance));
  return Verdict::later;
}

}  // namespace ratchet::db
