#include "levels/3_service/event_route.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "levels/3_service/json_write.hpp"

namespace ratchet::service {
namespace {

constexpr std::size_t kLongestIdempotencyKey = 255;

// A record batch of one record, format 2: 61 bytes before the records; the record's own length, attributes, deltas,
// three more lengths: at most 26. Each header: two lengths, at most 5 for those that fit into a request.
constexpr std::size_t kRecordFrame = 61 + 26;
constexpr std::size_t kHeaderFrame = 5;

// They tell of the way an event took, which is another one when it is sent again: the extension for distributed
// tracing, and what else goes by that name.
constexpr std::array<std::string_view, 4> kTracing = {"traceparent", "tracestate", "baggage", "traceid"};

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = static_cast<char>(c | 0x20);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// False: a '%' without two hexadecimal digits.
bool append_decoded(std::string& out, std::string_view text) {
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] != '%') {
      out += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high < 0 ? -1 : hex_digit(text[i + 2]);
    if (low < 0) return false;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return true;
}

bool is_key_in_body(const EventRoute& route) noexcept { return route.key && route.key->from == Reference::From::body; }

Problem no_key(const Reference& from, std::string_view why) {
  return problem_of(ProblemKind::key_missing,
                    "the key is taken from " + to_string(from) + ", which " + std::string(why));
}

Problem bad_key(const Reference& from, std::string_view why) {
  return problem_of(ProblemKind::key_invalid,
                    "the key is taken from " + to_string(from) + ", which " + std::string(why));
}

bool is_one_of(std::string_view name, const auto& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

HashKey draw_hash_key(const RandomSource& random) {
  std::array<std::uint8_t, sizeof(HashKey)> bytes{};
  random.fill(bytes);
  HashKey key;
  std::memcpy(&key, bytes.data(), sizeof key);
  return key;
}

// What the scanner says against a text.
Problem refused_json(const JsonScan& scan) {
  using Over = JsonScan::Over;
  const bool members = scan.over == Over::members || scan.over == Over::object_members;
  auto problem = problem_of(members ? ProblemKind::json_members : ProblemKind::json_invalid,
                            std::string(scan.error) + " at byte " + std::to_string(scan.error_at));
  if (scan.over != Over::nothing) {
    problem.limit = scan.limit;
    problem.found = scan.limit + 1;
  }
  return problem;
}

std::string_view why_unusable(JsonScan::Found found) noexcept {
  switch (found) {
    case JsonScan::Found::null:
      return "is null";
    case JsonScan::Found::object:
      return "is an object";
    case JsonScan::Found::array:
      return "is an array";
    default:
      return "is missing";
  }
}

}  // namespace

bool read_idempotency_key(std::string_view header, std::string& out) {
  out.clear();
  const bool quoted = !header.empty() && header.front() == '"';
  if (quoted) {
    if (header.size() < 2 || header.back() != '"') return false;
    header = header.substr(1, header.size() - 2);
  }
  for (std::size_t i = 0; i < header.size(); i++) {
    char c = header[i];
    if (c < (quoted ? 0x20 : 0x21) || c > 0x7e || c == '"') return false;
    if (c == '\\') {
      if (!quoted || ++i == header.size()) return false;
      c = header[i];
      if (c != '"' && c != '\\') return false;
    }
    out += c;
  }
  return !out.empty() && out.size() <= kLongestIdempotencyKey;
}

QueryFound read_query_parameter(std::string_view query, std::string_view name, std::string& out) {
  std::optional<std::string_view> value;
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    const auto equals = std::min(part.find('='), part.size());
    out.clear();
    if (!append_decoded(out, part.substr(0, equals)) || out != name) continue;
    if (value) return QueryFound::twice;
    value = part.substr(std::min(equals + 1, part.size()));
  }
  out.clear();
  if (!value) return QueryFound::absent;
  return append_decoded(out, *value) ? QueryFound::found : QueryFound::malformed;
}

void spell_media_type(std::string_view text, std::string& out) {
  enum class At : std::uint8_t { name, value, quoted, escaped } at = At::name;
  out.clear();
  std::size_t part = 0;  // of `out`: where the parameter began
  bool is_charset = false;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\t';
    if (at == At::quoted || at == At::escaped) {
      out += is_charset ? lower(c) : c;
      at = at == At::escaped ? At::quoted : c == '\\' ? At::escaped : c == '"' ? At::value : At::quoted;
    } else if (c == ';') {
      while (out.size() > part && (out.back() == ' ' || out.back() == '\t'))
        out.pop_back();
      out += c;
      part = out.size();
      at = At::name;
    } else if (blank && out.size() == part) {
      continue;
    } else if (at == At::name) {
      out += lower(c);
      if (c == '=' && part > 0) {
        at = At::value;
        is_charset = std::string_view(out).substr(part) == "charset=";
      }
    } else {
      if (c == '"') at = At::quoted;
      out += is_charset ? lower(c) : c;
    }
  }
}

std::string to_string(const Reference& reference) {
  switch (reference.from) {
    case Reference::From::literal:
      return reference.name;
    case Reference::From::header:
      return ":header." + reference.name;
    case Reference::From::query:
      return ":query." + reference.name;
    case Reference::From::path:
      return ":path." + reference.name;
    case Reference::From::body:
      break;
  }
  std::string out = ":body";
  for (const auto& part : reference.path)
    out += "." + part;
  return out;
}

EventReader::EventReader(const TimeSource& time, const kafka::RecordLimits& limits, const RandomSource& random,
                         const JsonLimits& json)
    : time_(time), limits_(limits), scanner_(draw_hash_key(random), json), ids_(random) {}

std::size_t EventReader::record_bytes(std::size_t key, std::size_t headers_text, std::size_t headers,
                                      std::size_t value) noexcept {
  return kRecordFrame + key + headers_text + headers * kHeaderFrame + value;
}

std::optional<Problem> EventReader::read(const EventRoute& route, const http::Request& request, PreparedEvent& out) {
  out.event = {};
  if (auto problem = admit(route, request.head, request.body.size())) return problem;
  if (auto problem = check_body(route, request.body)) return problem;
  if (auto problem = find_key(route, request.head, out.event.key)) return problem;
  find_idempotency(route, request, out.event);

  const auto sent = request.head.header("traceparent");
  const std::string_view trace_parent = sent && is_trace_parent(*sent) ? *sent : ids_.trace_parent();
  const std::string_view id = envelope_.cloudevent ? envelope_.id : ids_.uuid7(time_.wall());
  write_headers(route, id, trace_parent);
  reply_.assign("{\"id\":\"");
  append_escaped(reply_, id);
  reply_ += "\"}";

  const std::size_t key_bytes = out.event.key ? out.event.key->size() : 0;
  if (auto problem =
          check_size(route, record_bytes(key_bytes, headers_text_, headers_count_, request.body.size())))
    return problem;
  out.event.topic = route.topic;
  out.event.payload = request.body;
  out.event.headers = headers_;
  out.event.reply = reply_;
  out.trace_id = trace_parent.substr(3, 32);
  return std::nullopt;
}

std::optional<Problem> EventReader::admit(const EventRoute& route, const http::Head& head, std::size_t body_bytes) {
  if (auto problem = envelopes_.read(head, envelope_)) return problem;
  if (is_key_in_body(route)) {
    if (!envelope_.json) {
      return problem_of(ProblemKind::unsupported_media_type,
                        "this route takes its key from " + to_string(*route.key) + ", so Content-Type must be JSON");
    }
  } else {
    std::optional<std::string_view> key;
    if (auto problem = find_key(route, head, key)) return problem;
  }
  if (auto problem = check_idempotency_key(head)) return problem;
  return check_size(route, record_bytes(0, 0, 0, body_bytes));
}

std::optional<Problem> EventReader::check_size(const EventRoute& route, std::size_t found) const {
  const std::size_t limit = limits_.of(route.topic);
  if (found <= limit) return std::nullopt;
  auto problem = problem_of(ProblemKind::record_too_large,
                            "key, headers and body together exceed what topic " + route.topic + " takes");
  problem.limit = limit;
  problem.found = found;
  return problem;
}

std::optional<Problem> EventReader::check_body(const EventRoute& route, std::string_view body) {
  scan_ = nullptr;
  if (!envelope_.json) return std::nullopt;
  static const std::vector<std::string> nothing;
  scan_ = &scanner_.scan(body, is_key_in_body(route) ? route.key->path : nothing);
  if (scan_->valid) return std::nullopt;
  return refused_json(*scan_);
}

std::optional<Problem> EventReader::find_key(const EventRoute& route, const http::Head& head,
                                             std::optional<std::string_view>& key) {
  if (!route.key) return std::nullopt;
  const Reference& from = *route.key;
  switch (from.from) {
    case Reference::From::literal:
      key = from.name;
      break;
    case Reference::From::body: {
      using Found = JsonScan::Found;
      const Found found = scan_->found;
      if (found != Found::string && found != Found::number && found != Found::boolean)
        return no_key(from, why_unusable(found));
      key = scan_->value;
      break;
    }
    case Reference::From::header:
      return find_header_key(from, head, key);
    case Reference::From::query:
      return find_query_key(from, head, key);
    case Reference::From::path:
      return no_key(from, "no route of this version has");
  }
  return std::nullopt;
}

// An attribute is what was meant, not how it was spelled: "caf%C3%A9" and "café" are one key.
std::optional<Problem> EventReader::find_header_key(const Reference& from, const http::Head& head,
                                                    std::optional<std::string_view>& key) const {
  constexpr std::string_view kAttribute = "ce-";
  if (from.name.starts_with(kAttribute)) {
    key = envelope_.attribute(std::string_view(from.name).substr(kAttribute.size()));
  } else {
    for (std::size_t i = 0; i < head.header_count; i++) {
      const auto& [name, value] = head.headers[i];
      if (!http::equals_ignoring_case(name, from.name)) continue;
      if (key) return bad_key(from, "was sent twice");
      key = value;
    }
  }
  return key ? std::nullopt : std::optional(no_key(from, "is missing"));
}

std::optional<Problem> EventReader::find_query_key(const Reference& from, const http::Head& head,
                                                   std::optional<std::string_view>& key) {
  switch (read_query_parameter(head.query, from.name, key_)) {
    case QueryFound::found:
      key = key_;
      return std::nullopt;
    case QueryFound::absent:
      return no_key(from, "is missing");
    case QueryFound::malformed:
      return bad_key(from, "is malformed: a '%' without two hexadecimal digits (a literal one is sent as %25)");
    case QueryFound::twice:
      return bad_key(from, "was sent twice");
  }
  return std::nullopt;
}

void EventReader::take_fingerprint(const EventRoute& route, const http::Request& request, db::Event& event) {
  const auto counts = [&route](std::string_view name) { return !is_one_of(name, route.idempotency_ignore); };
  attributes_.clear();
  for (const auto& [name, value] : envelope_.extensions) {
    if (!is_one_of(name, kTracing) && counts(name)) attributes_.push_back({name, value});
  }
  spell_media_type(envelope_.content_type, media_type_);
  db::Content content{request.head.method, request.head.path, route.topic, event.key, request.body, {}, {},
                      attributes_};
  if (counts("type")) content.type = envelope_.cloudevent ? envelope_.type : std::string_view(route.type);
  if (counts("datacontenttype")) content.content_type = media_type_;
  fingerprint_ = db::fingerprint(content);
  event.fingerprint = db::view(fingerprint_);
}

// Into idempotency_key_, which is empty where there is none.
std::optional<Problem> EventReader::check_idempotency_key(const http::Head& head) {
  idempotency_key_.clear();
  const auto sent = head.header("idempotency-key");
  if (!sent || read_idempotency_key(*sent, idempotency_key_)) return std::nullopt;
  auto problem = problem_of(ProblemKind::idempotency_key_invalid,
                            "1 to 255 visible ASCII characters, bare or as a quoted string");
  problem.limit = kLongestIdempotencyKey;
  problem.found = sent->size();
  return problem;
}

void EventReader::find_idempotency(const EventRoute& route, const http::Request& request, db::Event& event) {
  if (!idempotency_key_.empty()) {
    event.idempotency = db::idempotency_id(route.path, "", idempotency_key_);
  } else if (envelope_.cloudevent) {
    event.idempotency = db::idempotency_id(route.path, "", envelope_.source, envelope_.id);
  } else {
    return;
  }
  take_fingerprint(route, request, event);
}

void EventReader::write_headers(const EventRoute& route, std::string_view id, std::string_view trace_parent) {
  headers_.assign("{");
  headers_text_ = headers_count_ = 0;
  write_header("ce_", "specversion", "1.0");
  write_header("ce_", "id", id);
  write_header("ce_", "source", envelope_.cloudevent ? envelope_.source : route.source);
  write_header("ce_", "type", envelope_.cloudevent ? envelope_.type : route.type);
  write_header("ce_", "time", envelope_.time.empty() ? time_text_.of(time_.wall()) : envelope_.time);
  for (const auto& extension : envelope_.extensions)
    write_header("ce_", extension.name, extension.value);
  if (!envelope_.content_type.empty()) write_header("", "content-type", envelope_.content_type);
  write_header("", "traceparent", trace_parent);
  headers_.back() = '}';
}

void EventReader::write_header(std::string_view prefix, std::string_view name, std::string_view value) {
  headers_.append("\"").append(prefix).append(name).append("\":\"");
  append_escaped(headers_, value);
  headers_ += "\",";
  headers_text_ += prefix.size() + name.size() + value.size();
  headers_count_++;
}

}  // namespace ratchet::service
