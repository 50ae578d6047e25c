// Several levels held as one: all are raised or none is, one that is lost is the loss of all. What stands for a level
// of the ladder where the configuration may name several of a kind: the required databases, a producer with its relay
// for each outbox.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "levels/core/level.hpp"

namespace ratchet {

class Together final : public Level {
 public:
  // `members`: at least one, all of the same kind, so the first one's plan and patience are everybody's. `also`: what
  // is degraded besides them; any thread.
  using Also = std::function<std::optional<std::string>()>;
  Together(std::string name, std::vector<Level*> members, Also also = nullptr);

  std::string_view name() const noexcept override { return name_; }
  Duration raise_patience() const noexcept override { return members_.front()->raise_patience(); }
  ProbePlan probe_plan() const noexcept override { return members_.front()->probe_plan(); }
  Result<std::unique_ptr<HeldLevel>> raise(Patience& patience, Incarnation incarnation) override;

 private:
  const std::string name_;
  const std::vector<Level*> members_;
  const Also also_;
};

}  // namespace ratchet
