// Errors as application/problem+json (RFC 9457), one table: type, status, title. `limit` and `found` are named
// where a limit was hit; Retry-After where trying again makes sense.
//
// The type is the URI "urn:ratchetd:problem:" + a word. The same word is the reason in ratchet_rejected_total. Words
// and their statuses are a promise to clients: add, do not change.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "levels/0_baseline/reactor.hpp"

namespace ratchet::service {

enum class ProblemKind : std::uint8_t {
  not_found,
  method_not_allowed,
  json_invalid,        // grammar, UTF-8, depth, duplicate keys
  json_members,        // more than the limit
  cloudevent_invalid,  // ce- headers
  unsupported_media_type,
  key_invalid,  // what the route takes its key from is malformed, or there twice
  key_missing,  // what the route takes its key from is absent, null, an object or an array
  record_too_large,
  idempotency_key_invalid,
  idempotency_key_reused,  // with another request
  idempotency_in_progress,
  row_refused,       // the database refused this event: data
  database_refused,  // the database refused this event: not the event's fault
  commit_queue,      // full
  outbox_budget,     // the relay is too far behind
  bulkhead,          // the route's max_in_flight
  route_off,
  not_connected,
  nothing_stored,
  outcome_unknown,
  internal_error,  // an exception left the handler
  breaker_open,    // of the route: it had too many of those
  unavailable,     // the level is not held
};
constexpr std::size_t kProblemKinds = static_cast<std::size_t>(ProblemKind::unavailable) + 1;

struct Problem {
  int status = 500;
  std::string_view type;  // last part of the URI: "nothing-stored"
  std::string_view title;
  std::string detail;
  std::optional<std::uint64_t> limit, found;
  std::optional<int> retry_after_s;
  bool close = false;
  std::string_view allow = {};  // methods, with 405
  ProblemKind kind = ProblemKind::database_refused;
};

// The table's row of that kind. `detail`: one sentence for people.
Problem problem_of(ProblemKind kind, std::string detail);
std::string_view type_of(ProblemKind kind) noexcept;
// An event that the database refused. `reason` begins with the SQLSTATE where the server gave one: 22 and 23 are about
// the data.
Problem refused_row(std::string_view reason);

constexpr std::string_view kProblemJson = "application/problem+json";

std::string to_json(const Problem& problem, std::string_view instance);
void answer(http::Reactor& reactor, http::Ticket ticket, const Problem& problem, std::string_view instance);

// A whole HTTP response that ends its connection, for where there is no request to answer (Reactor::refuse_all).
std::string to_response(const Problem& problem, std::string_view instance);

// The body for what the reactor refused by itself.
std::string to_json(const http::Refusal& refusal);

}  // namespace ratchet::service
