#include "levels/core/status.hpp"

namespace ratchet {

namespace {

const LevelStatus& of(const Status& status, int level) { return status.levels[static_cast<std::size_t>(level)]; }

// Whole seconds, rounded up, so that it never says "in 0 s".
std::string in_seconds(Duration wait) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  return "in " + std::to_string(seconds < 1 ? 1 : seconds) + " s";
}

// Why it does not stand higher. The reason is only said while it is the present one: a raise that rests, or has
// been tried before without success.
std::string climbing(const Status& status, TimePoint now) {
  const LevelStatus& next = of(status, status.held + 1);
  const bool reason_known = next.last_fault && (status.next_attempt || next.attempts > 1);
  const std::string reason = reason_known ? next.last_fault->text : "raising " + std::string(next.name);
  if (status.next_attempt) return reason + ", next attempt " + in_seconds(*status.next_attempt - now);
  return reason_known ? reason + ", trying again" : reason;
}

std::string falling(const Status& status) {
  const FaultNote* latest = nullptr;
  for (int level = 1; level <= status.held; ++level) {
    const auto& fault = of(status, level).last_fault;
    if (fault && (!latest || fault->at > latest->at)) latest = &*fault;
  }
  return latest ? "falling, " + latest->text : "falling";
}

std::string serving(const Status& status) {
  for (int level = kTopLevel; level >= 1; --level)
    if (const auto& why = of(status, level).degraded)
      return "serving, " + std::string(of(status, level).name) + ": " + *why;
  return "serving";
}

std::string because_of(const std::optional<HoldStatus>& hold) {
  if (!hold) return {};
  std::string out;
  if (!hold->who.empty()) out += " by " + hold->who;
  if (!hold->reason.empty()) out += ": " + hold->reason;
  return out;
}

std::string draining(const Status& status) {
  return "draining to level " + std::to_string(status.ceiling) + because_of(status.hold);
}

std::string words(const Status& status, TimePoint now) {
  switch (status.doing) {
    case Doing::climbing:
      return status.held < kTopLevel ? climbing(status, now) : "serving";
    case Doing::serving:
      return serving(status);
    case Doing::falling:
      return falling(status);
    case Doing::draining:
      return draining(status);
    case Doing::held_back:
      return "held back" + because_of(status.hold);
    case Doing::stopping:
      return "stopping";
  }
  return {};
}

}  // namespace

std::string_view to_string(Doing doing) noexcept {
  switch (doing) {
    case Doing::climbing:
      return "climbing";
    case Doing::serving:
      return "serving";
    case Doing::falling:
      return "falling";
    case Doing::draining:
      return "draining";
    case Doing::held_back:
      return "held_back";
    case Doing::stopping:
      return "stopping";
  }
  return "climbing";
}

Doing doing(const ladder::State& state) noexcept {
  if (state.stopping) return Doing::stopping;
  if (state.fall_to < state.held) return Doing::falling;
  if (state.held > state.ceiling || state.work == ladder::Work::lowering) return Doing::draining;
  if (state.held == kTopLevel) return Doing::serving;
  return state.held == state.ceiling ? Doing::held_back : Doing::climbing;
}

std::string headline(const Status& status, TimePoint now) {
  return "level " + std::to_string(status.held) + ": " + words(status, now);
}

}  // namespace ratchet
