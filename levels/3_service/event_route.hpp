// An event route: from a request to the row that is to be committed, or to the problem that is answered instead.
// Nothing here waits, and in the common case nothing is allocated: the buffers are kept from request to request.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "levels/0_baseline/reactor.hpp"
#include "levels/1_database/group_commit.hpp"
#include "levels/1_database/idempotency.hpp"
#include "levels/2_broker/level.hpp"
#include "levels/3_service/cloudevents.hpp"
#include "levels/3_service/ids.hpp"
#include "levels/3_service/json_scan.hpp"
#include "levels/3_service/problem.hpp"

namespace ratchet::service {

// What an event becomes. Views point into the request, the route and the reader: valid until the next read.
struct PreparedEvent {
  db::Event event;            // its `reply` is the body of the 202
  std::string_view trace_id;  // 32 hexadecimal digits
};

// Reactor thread only.
class EventReader {
 public:
  EventReader(const TimeSource& time, const kafka::RecordLimits& limits, const RandomSource& random,
              const JsonLimits& json = {});

  // `out` is filled, or the reason why the request is refused is returned (with status 4xx).
  std::optional<Problem> read(const EventRoute& route, const http::Request& request, PreparedEvent& out);

  // The part of it that the head alone decides, for a body of at least so many bytes: where it refuses, read() would
  // refuse with the same reason whatever the body is.
  std::optional<Problem> admit(const EventRoute& route, const http::Head& head, std::size_t body_bytes);

  // What the broker will count for a record, at most: key, headers and value with the frame of a batch of one.
  static std::size_t record_bytes(std::size_t key, std::size_t headers_text, std::size_t headers,
                                  std::size_t value) noexcept;

 private:
  std::optional<Problem> check_body(const EventRoute& route, std::string_view body);
  std::optional<Problem> check_size(const EventRoute& route, std::size_t found) const;
  std::optional<Problem> find_key(const EventRoute& route, const http::Head& head,
                                  std::optional<std::string_view>& key);
  std::optional<Problem> find_header_key(const Reference& from, const http::Head& head,
                                         std::optional<std::string_view>& key) const;
  std::optional<Problem> find_query_key(const Reference& from, const http::Head& head,
                                        std::optional<std::string_view>& key);
  void take_fingerprint(const EventRoute& route, const http::Request& request, db::Event& event);
  std::optional<Problem> check_idempotency_key(const http::Head& head);
  void find_idempotency(const EventRoute& route, const http::Request& request, db::Event& event);
  void write_headers(const EventRoute& route, std::string_view id, std::string_view trace_parent);
  void write_header(std::string_view prefix, std::string_view name, std::string_view value);

  const TimeSource& time_;
  const kafka::RecordLimits& limits_;
  EnvelopeReader envelopes_;
  JsonScanner scanner_;
  Ids ids_;
  TimeText time_text_;
  Envelope envelope_;
  const JsonScan* scan_ = nullptr;  // of this request's body, when it was scanned
  std::string key_, idempotency_key_, media_type_, headers_, reply_;
  std::vector<db::Content::Attribute> attributes_;  // those that count for the fingerprint
  std::size_t headers_text_ = 0, headers_count_ = 0;
  db::Fingerprint fingerprint_{};
};

// Idempotency-Key: a structured field's string ("..." with \" and \\), or bare visible characters; 1 to 255 of them.
// Unquoted into `out`; false: neither.
bool read_idempotency_key(std::string_view header, std::string& out);

// The one parameter of that name in a query string, percent-decoded, '+' as a space, into `out`.
enum class QueryFound : std::uint8_t { absent, found, malformed, twice };
QueryFound read_query_parameter(std::string_view query, std::string_view name, std::string& out);

// A media type as all who mean the same spell it: type, names of parameters and charset in lower case, no white space
// around ';'. Into `out`.
void spell_media_type(std::string_view text, std::string& out);

// ":body.a.b", as in the configuration.
std::string to_string(const Reference& reference);

}  // namespace ratchet::service
