// Why a request is not taken, where its head is enough to know: asked before its body is read, and again when it is
// there. Reactor thread.
#pragma once

#include <optional>

#include "levels/0_baseline/health.hpp"
#include "levels/0_baseline/http_head.hpp"
#include "levels/3_service/problem.hpp"
#include "levels/3_service/routes.hpp"

namespace ratchet::service {

inline constexpr int kRetrySoon = 1;

Problem with_retry(Problem problem, int seconds);

// No such route (null), or not with this method.
std::optional<Problem> misdirected(const http::Head& head, const Route* route);

// The route has as much to do as it may, or nowhere to put more.
std::optional<Problem> too_much(const Route& route, const TimeSource& time, const Health& health);

// Retry-After is the soonest true attempt of the pools it may use.
Problem not_connected(const Route& route, const TimeSource& time, const Health& health);

}  // namespace ratchet::service
