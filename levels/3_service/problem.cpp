#include "levels/3_service/problem.hpp"

#include <array>
#include <cassert>

#include "levels/3_service/json_write.hpp"

namespace ratchet::service {
namespace {

struct Row {
  ProblemKind kind;
  int status;
  std::string_view type;
  std::string_view title;
};

constexpr std::array<Row, kProblemKinds> kTable{{
    {ProblemKind::not_found, 404, "not-found", "No such route"},
    {ProblemKind::method_not_allowed, 405, "method-not-allowed", "Method not allowed"},
    {ProblemKind::json_invalid, 400, "json-invalid", "The body is not valid JSON"},
    {ProblemKind::json_members, 413, "json-members", "The JSON body has too many members"},
    {ProblemKind::cloudevent_invalid, 400, "cloudevent-invalid", "The ce- headers are not a CloudEvent"},
    {ProblemKind::unsupported_media_type, 415, "unsupported-media-type", "Unsupported media type"},
    {ProblemKind::key_invalid, 400, "key-invalid", "The event's key cannot be read"},
    {ProblemKind::key_missing, 422, "key-missing", "The event has no usable key"},
    {ProblemKind::record_too_large, 413, "record-too-large", "The event is too large for its topic"},
    {ProblemKind::idempotency_key_invalid, 400, "idempotency-key-invalid", "Invalid Idempotency-Key"},
    {ProblemKind::idempotency_key_reused, 422, "idempotency-key-reused", "Idempotency-Key used with another request"},
    {ProblemKind::idempotency_in_progress, 409, "idempotency-in-progress", "The same request is being processed"},
    {ProblemKind::row_refused, 422, "row-refused", "The database refused the event"},
    {ProblemKind::database_refused, 500, "database-refused", "The database could not store the event"},
    {ProblemKind::commit_queue, 503, "commit-queue", "The commit queue is full"},
    {ProblemKind::outbox_budget, 503, "outbox-budget", "Too many events wait to be published"},
    {ProblemKind::bulkhead, 503, "bulkhead", "Too many requests in flight on this route"},
    {ProblemKind::route_off, 503, "route-off", "The route is switched off"},
    {ProblemKind::not_connected, 503, "not-connected", "The database is not connected"},
    {ProblemKind::nothing_stored, 503, "nothing-stored", "Nothing was stored"},
    {ProblemKind::outcome_unknown, 503, "outcome-unknown", "It is not known whether the event was stored"},
    {ProblemKind::internal_error, 500, "internal-error", "The handler failed"},
    {ProblemKind::breaker_open, 503, "breaker-open", "The route rests after too many failures"},
    {ProblemKind::unavailable, 503, "unavailable", "Not serving"},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kTable.size(); i++) {
    if (kTable[i].kind != static_cast<ProblemKind>(i)) return false;
  }
  return true;
}
static_assert(in_order());

const Row& row_of(ProblemKind kind) noexcept { return kTable[static_cast<std::size_t>(kind)]; }

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out.append(",\"").append(name).append("\":\"");
  append_escaped(out, text);
  out += '"';
}

void append_number(std::string& out, std::string_view name, std::uint64_t number) {
  out.append(",\"").append(name).append("\":").append(std::to_string(number));
}

std::string begin_json(std::string_view type, int status) {
  std::string out = "{\"type\":\"urn:ratchetd:problem:";
  append_escaped(out, type);
  return out.append("\",\"status\":").append(std::to_string(status));
}

std::string extra_headers(const Problem& problem) {
  std::string out;
  if (problem.retry_after_s) out.append("Retry-After: ").append(std::to_string(*problem.retry_after_s)).append("\r\n");
  if (!problem.allow.empty()) out.append("Allow: ").append(problem.allow).append("\r\n");
  return out;
}

std::string_view refusal_title(const http::Refusal& refusal) noexcept {
  switch (refusal.status) {
    case 408:
      return "Request too slow";
    case 413:
      return "Body too large";
    case 414:
      return "Request line too long";
    case 415:
      return "Unsupported content coding";
    case 417:
      return "Expectation failed";
    case 429:
      return "Too many connections from one address";
    case 431:
      return "Headers too large";
    case 501:
      return "Not implemented";
    case 503:
      return refusal.reason == "buffers" ? "Too many unfinished requests" : "Too many connections";
    case 505:
      return "HTTP version not supported";
    default:
      return "Malformed request";
  }
}

}  // namespace

Problem refused_row(std::string_view reason) {
  const auto state_class = reason.substr(0, 2);
  const bool data = state_class == "22" || state_class == "23";
  return problem_of(data ? ProblemKind::row_refused : ProblemKind::database_refused, std::string(reason));
}

std::string_view type_of(ProblemKind kind) noexcept { return row_of(kind).type; }

Problem problem_of(ProblemKind kind, std::string detail) {
  const Row& row = row_of(kind);
  Problem problem;
  problem.status = row.status;
  problem.type = row.type;
  problem.title = row.title;
  problem.detail = std::move(detail);
  problem.kind = kind;
  return problem;
}

std::string to_json(const Problem& problem, std::string_view instance) {
  std::string out = begin_json(problem.type, problem.status);
  append_member(out, "title", problem.title);
  if (!problem.detail.empty()) append_member(out, "detail", problem.detail);
  if (!instance.empty()) append_member(out, "instance", instance);
  if (problem.limit) append_number(out, "limit", *problem.limit);
  if (problem.found) append_number(out, "found", *problem.found);
  return out += '}';
}

void answer(http::Reactor& reactor, http::Ticket ticket, const Problem& problem, std::string_view instance) {
  const std::string body = to_json(problem, instance);
  const std::string headers = extra_headers(problem);
  reactor.answer(ticket, {problem.status, kProblemJson, body, headers, problem.close});
}

std::string to_response(const Problem& problem, std::string_view instance) {
  assert(problem.status == 503);
  const std::string body = to_json(problem, instance);
  return "HTTP/1.1 503 Service Unavailable\r\nContent-Type: " + std::string(kProblemJson) +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + extra_headers(problem) +
         "Connection: close\r\n\r\n" + body;
}

std::string to_json(const http::Refusal& refusal) {
  std::string out = begin_json(refusal.reason, refusal.status);
  append_member(out, "title", refusal_title(refusal));
  append_member(out, "detail", refusal.detail);
  if (refusal.limit > 0) append_number(out, "limit", refusal.limit);
  if (refusal.found > 0) append_number(out, "found", refusal.found);
  return out += '}';
}

}  // namespace ratchet::service
