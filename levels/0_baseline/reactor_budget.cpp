// Who holds how much, and who goes when there is no more. In the way of others is what holds bytes and does not get on:
// the one whose last step (64 KiB that came, or were taken) is the longest ago is given up first. A client that brings
// single bytes makes no step, so it cannot hide behind them.
#include "levels/0_baseline/reactor_inside.hpp"

namespace ratchet::http {
namespace {

constexpr std::size_t kStep = 65'536;

}  // namespace

// Adds to what a connection holds. False: there is no room, not even at the cost of others; `where` may be gone.
bool Reactor::Inside::hold(Connection& c, HeldBytes& where, std::string_view bytes, std::size_t expected) {
  while (!where.append(bytes, expected)) {
    if (make_room(c)) continue;
    refuse_to_hold(c);
    return false;
  }
  if (c.progress.list == nullptr || where.size() >= c.stepped + kStep) {
    progress_.start(c.progress, now_);
    c.stepped = where.size();
  }
  return true;
}

void Reactor::Inside::refuse_to_hold(Connection& c) {
  if (c.state == State::reading) {
    const Refusal refusal = no_room();
    c.in.clear();
    c.chunked.reset();
    return refuse(c, refusal);
  }
  c.close = true;  // what follows the request that is being answered is not begun, and will not be
  c.client_closes = false;
}

// The rest of an answer that the socket did not take at once.
bool Reactor::Inside::hold_answer(Connection& c, std::string_view bytes) {
  progress_.start(c.progress, now_);
  while (!c.out.append(bytes, c.out.size() + bytes.size())) {
    if (!make_room(c)) return false;
  }
  return true;
}

// Gives up the slowest. False: nobody is slower than `asker`.
bool Reactor::Inside::make_room(const Connection& asker) {
  for (DeadlineHook* hook = progress_.first(); hook != nullptr; hook = hook->after) {
    Connection& slowest = table_.at(hook->owner);
    if (&slowest == &asker) return false;
    if (&slowest == pumping_) continue;  // is being used, further up
    give_up(slowest);
    return true;
  }
  return false;
}

// Takes away what it holds. What it is told is sent at its next turn, not now: another's answer may be half written.
void Reactor::Inside::give_up(Connection& c) {
  DeadlineList::stop(c.progress);
  if (c.state == State::writing) return drop_unanswered(c);
  c.in.clear();
  c.chunked.reset();
  if (c.state == State::serving) return refuse_to_hold(c);
  c.given_up = true;
  want_resume(c);
}

void Reactor::Inside::mind_held(Connection& c) {
  const bool holds = !c.in.empty() || c.chunked != nullptr || !c.out.empty();
  if (!holds) DeadlineList::stop(c.progress);
  else if (c.progress.list == nullptr) progress_.start(c.progress, now_);
}

Refusal Reactor::Inside::no_room() const noexcept {
  Refusal refusal{503, "buffers", "this instance holds as many bytes of unfinished requests as it may"};
  refusal.limit = budget_.most();
  refusal.found = budget_.used();
  return refusal;
}

}  // namespace ratchet::http
