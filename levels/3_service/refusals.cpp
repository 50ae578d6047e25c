#include "levels/3_service/refusals.hpp"

#include <algorithm>
#include <utility>

namespace ratchet::service {
namespace {

constexpr int kRetryWhenRelayIsBehind = 30;

}  // namespace

Problem with_retry(Problem problem, int seconds) {
  problem.retry_after_s = seconds;
  return problem;
}

std::optional<Problem> misdirected(const http::Head& head, const Route* route) {
  if (route == nullptr) return problem_of(ProblemKind::not_found, "no route has this path");
  if (head.method == "POST") return std::nullopt;
  auto problem = problem_of(ProblemKind::method_not_allowed, "events are sent with POST");
  problem.allow = "POST";
  return problem;
}

std::optional<Problem> too_much(const Route& route, const TimeSource& time, const Health& health) {
  if (route.settings.max_in_flight > 0 && route.in_flight >= route.settings.max_in_flight) {
    auto problem =
        problem_of(ProblemKind::bulkhead, "nothing was stored: too many requests of this route wait for their commit");
    problem.limit = route.settings.max_in_flight;
    problem.found = route.in_flight;
    return with_retry(std::move(problem), kRetrySoon);
  }
  const Outbox* const outbox = route.usable();
  if (outbox == nullptr) return not_connected(route, time, health);
  if (outbox->behind()) {
    return with_retry(problem_of(ProblemKind::outbox_budget,
                                 "nothing was stored: publishing is too far behind, or how far is not known"),
                      kRetryWhenRelayIsBehind);
  }
  return std::nullopt;
}

Problem not_connected(const Route& route, const TimeSource& time, const Health& health) {
  std::string names;
  std::optional<TimePoint> soonest;
  for (const Outbox* outbox : route.outboxes) {
    names += (names.empty() ? "" : ", ") + outbox->pool;
    const auto next = outbox->next_attempt ? outbox->next_attempt() : std::nullopt;
    if (next && (!soonest || *next < *soonest)) soonest = next;
  }
  const int wait =
      soonest
          ? std::max(kRetrySoon,
                     static_cast<int>(std::chrono::ceil<std::chrono::seconds>(*soonest - time.now()).count()))
          : health.retry_after();
  return with_retry(problem_of(ProblemKind::not_connected, "nothing was stored: not connected to pool " + names), wait);
}

}  // namespace ratchet::service
