#include "levels/core/together.hpp"

#include <algorithm>
#include <cassert>

namespace ratchet {

namespace {

class HeldTogether final : public HeldLevel {
 public:
  HeldTogether(std::vector<std::unique_ptr<HeldLevel>> held, const Together::Also& also)
      : held_(std::move(held)), also_(also) {
    for (const auto& one : held_)
      order_.push_back(one.get());
  }
  ~HeldTogether() override {
    while (!held_.empty())
      held_.pop_back();  // in reverse
  }
  HeldTogether(const HeldTogether&) = delete;
  HeldTogether& operator=(const HeldTogether&) = delete;

  // All share the patience. The one that missed goes to the end of the line: it shall not use up what the others need,
  // neither in the next probe nor when all are let go.
  std::optional<Fault> probe(Patience& patience) override {
    for (auto one = order_.begin(); one != order_.end(); ++one) {
      auto fault = (*one)->probe(patience);
      if (!fault) continue;
      std::rotate(one, one + 1, order_.end());
      return fault;
    }
    return std::nullopt;
  }

  void drain(Patience& patience, Leave leave) override {
    for (HeldLevel* one : order_)
      one->drain(patience, leave);
  }

  void on_doubt(const std::function<void()>& probe_soon) override {
    for (HeldLevel* one : order_)
      one->on_doubt(probe_soon);
  }

  std::optional<std::string> degraded() const override {
    auto all = also_ ? also_() : std::nullopt;
    for (const auto& one : held_) {
      const auto what = one->degraded();
      if (what) all = all ? *all + "; " + *what : *what;
    }
    return all;
  }

 private:
  std::vector<std::unique_ptr<HeldLevel>> held_;
  std::vector<HeldLevel*> order_;  // the same; the worker's own
  const Together::Also& also_;
};

}  // namespace

Together::Together(std::string name, std::vector<Level*> members, Also also)
    : name_(std::move(name)), members_(std::move(members)), also_(std::move(also)) {
  assert(!members_.empty());
}

Result<std::unique_ptr<HeldLevel>> Together::raise(Patience& patience, Incarnation incarnation) {
  std::vector<std::unique_ptr<HeldLevel>> held;
  for (Level* member : members_) {
    auto one = member->raise(patience, incarnation);
    if (!one) {
      while (!held.empty())
        held.pop_back();
      return std::move(one).error();
    }
    held.push_back(*std::move(one));
  }
  return std::unique_ptr<HeldLevel>(std::make_unique<HeldTogether>(std::move(held), also_));
}

}  // namespace ratchet
