#include "levels/core/supervisor.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ratchet::supervisor {

namespace {

using Course = State::Course;
using std::chrono::seconds;

// One step: takes the event in, then goes on until something is under way or nothing is left to do.
class Turn {
 public:
  Turn(const Plan& plan, State state, TimePoint now) : plan_(plan), s_(std::move(state)), now_(now) {
    assert(s_.children.size() == plan_.children.size());
  }

  void take(const Started& e) {
    child_at(e.child, e.life, Phase::starting).phase = Phase::up;
    s_.children[e.child].again = false;
  }
  void take(const StartFailed& e) {
    ChildState& child = child_at(e.child, e.life, Phase::starting);
    child.phase = Phase::down;
    s_.course = Course::idle;
    if (s_.ending) return;
    if (s_.booting) {
      s_.ending = Outcome::start_failed;
      return;
    }
    child.again = true;
    s_.notices.push_back({e.child, std::nullopt});
  }
  void take(const Stopped& e) { ended(e.child, child_at(e.child, e.life, Phase::stopping)); }
  void take(const Died& e) {
    assert(e.child < s_.children.size() && e.life <= s_.children[e.child].life);
    const ChildState& child = s_.children[e.child];
    assert(child.phase != Phase::starting || e.life < child.life);
    const bool known = waits(e.child) || child.phase != Phase::up || child.life != e.life;
    if (!known) s_.notices.push_back({e.child, e.reason});
  }
  void take(const Wake&) {
    if (const auto at = wake_at(s_); at && now_ >= *at) hurry();
  }
  void take(const End&) {
    if (!s_.ending) s_.ending = Outcome::ended;
    if (!s_.hurried && under_way() != nullptr && under_way()->phase == Phase::starting) hurry();
  }

  void begin() {
    s_.last = s_.children.size();
    s_.course = Course::starting;
  }

  Next go_on() && {
    while (!s_.over && under_way() == nullptr) {
      if (s_.ending) {
        if (!stop_last(0, s_.children.size())) finish();
      } else if (s_.course == Course::clearing) {
        if (!stop_last(s_.first, s_.last)) s_.course = Course::starting;
      } else if (s_.course == Course::starting) {
        if (!start_first()) started();
      } else if (s_.notices.empty()) {
        break;
      } else {
        const Notice notice = s_.notices.front();
        s_.notices.erase(s_.notices.begin());
        notice.ended ? handle(notice.child, *notice.ended) : try_again(notice.child);
      }
    }
    return {std::move(s_), std::move(actions_)};
  }

 private:
  ChildState& child_at(std::size_t index, Life life, Phase phase) {
    assert(index < s_.children.size());
    ChildState& child = s_.children[index];
    assert(child.phase == phase && child.life == life);
    static_cast<void>(life);
    static_cast<void>(phase);
    return child;
  }

  const ChildState* under_way() const {
    const auto found = std::find_if(s_.children.begin(), s_.children.end(), [](const ChildState& child) {
      return child.phase == Phase::starting || child.phase == Phase::stopping;
    });
    return found == s_.children.end() ? nullptr : &*found;
  }

  bool waits(std::size_t child) const {  // its end, among the notices
    return std::any_of(s_.notices.begin(), s_.notices.end(),
                       [child](const Notice& n) { return n.child == child && n.ended; });
  }

  void hurry() {
    const ChildState* child = under_way();
    s_.hurried = true;
    actions_.push_back(Hurry{static_cast<std::size_t>(child - s_.children.data()), child->life});
  }

  void ended(std::size_t index, ChildState& child) {
    child.phase = plan_.children[index].restart == Restart::temporary ? Phase::gone : Phase::down;
  }

  // False: none of them is up.
  bool stop_last(std::size_t first, std::size_t last) {
    for (std::size_t i = last; i-- > first;) {
      ChildState& child = s_.children[i];
      if (child.phase != Phase::up) continue;
      if (waits(i)) {
        std::erase_if(s_.notices, [i](const Notice& n) { return n.child == i && n.ended; });
        ended(i, child);
        continue;
      }
      child.phase = Phase::stopping;
      s_.hurried = false;
      s_.due = now_ + plan_.children[i].stop;
      actions_.push_back(Stop{i, child.life, s_.due});
      return true;
    }
    return false;
  }

  // False: all of them are up.
  bool start_first() {
    for (std::size_t i = s_.first; i < s_.last; ++i) {
      ChildState& child = s_.children[i];
      if (child.phase != Phase::down) continue;
      child.phase = Phase::starting;
      ++child.life;
      s_.hurried = false;
      s_.due = now_ + plan_.children[i].start;
      actions_.push_back(Start{i, child.life, s_.due});
      return true;
    }
    return false;
  }

  void started() {
    s_.course = Course::idle;
    if (std::exchange(s_.booting, false)) actions_.push_back(Ready{});
  }

  void finish() {
    s_.over = true;
    s_.notices.clear();
    s_.course = Course::idle;
    actions_.push_back(Over{*s_.ending});
  }

  void handle(std::size_t index, Reason reason) {
    ChildState& child = s_.children[index];
    const Restart type = plan_.children[index].restart;
    ended(index, child);
    if (type == Restart::permanent || (type == Restart::transient && reason == Reason::crash)) restart(index);
  }

  void try_again(std::size_t index) {
    if (s_.children[index].again) restart(index);
  }

  void restart(std::size_t index) {
    if (!allowed()) {
      s_.ending = Outcome::gave_up;
      return;
    }
    const bool alone = plan_.strategy == Strategy::one_for_one;
    s_.first = plan_.strategy == Strategy::one_for_all ? 0 : index;
    s_.last = alone ? index + 1 : s_.children.size();
    s_.course = alone ? Course::starting : Course::clearing;
    for (std::size_t i = s_.first; i < s_.last; ++i)
      s_.children[i].again = false;
  }

  // Counts one restart. OTP's own arithmetic: whole seconds, both ends of the period included.
  bool allowed() {
    const auto second = std::chrono::floor<seconds>(now_.time_since_epoch());
    s_.restarts.push_front(second);
    const auto too_old = std::find_if(s_.restarts.begin(), s_.restarts.end(),
                                      [&](seconds then) { return then < second - plan_.period; });
    s_.restarts.erase(too_old, s_.restarts.end());
    return s_.restarts.size() <= plan_.intensity;
  }

  const Plan& plan_;
  State s_;
  const TimePoint now_;
  std::vector<Action> actions_;
};

}  // namespace

Next begin(const Plan& plan, TimePoint now) {
  State state;
  state.children.resize(plan.children.size());
  Turn turn(plan, std::move(state), now);
  turn.begin();
  return std::move(turn).go_on();
}

Next step(const Plan& plan, State state, const Event& event, TimePoint now) {
  Turn turn(plan, std::move(state), now);
  std::visit([&turn](const auto& e) { turn.take(e); }, event);
  return std::move(turn).go_on();
}

std::optional<TimePoint> wake_at(const State& state) noexcept {
  const bool busy = std::any_of(state.children.begin(), state.children.end(), [](const ChildState& child) {
    return child.phase == Phase::starting || child.phase == Phase::stopping;
  });
  return busy && !state.hurried ? std::optional(state.due) : std::nullopt;
}

}  // namespace ratchet::supervisor
