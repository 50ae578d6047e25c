#include "levels/3_service/cloudevents.hpp"

#include <algorithm>

#include "levels/3_service/json_scan.hpp"

namespace ratchet::service {
namespace {

constexpr std::size_t kLongestName = 20;
constexpr std::string_view kTaken =
    "taken here: application/json (or another +json type), or any content type with the headers ce-specversion, "
    "ce-id, ce-source and ce-type";

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool is_attribute(std::string_view header_name) noexcept {
  return header_name.size() > 3 && lower(header_name[0]) == 'c' && lower(header_name[1]) == 'e' &&
         header_name[2] == '-';
}

bool ends_with_ignoring_case(std::string_view text, std::string_view end) noexcept {
  return text.size() >= end.size() && http::equals_ignoring_case(text.substr(text.size() - end.size()), end);
}

std::string_view media_type(std::string_view content_type) noexcept {
  auto type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t'))
    type.remove_suffix(1);
  return type;
}

bool is_printable_ascii(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= 0x20 && c < 0x7f) || c == '\t'; });
}

// What CloudEvents lets a string hold: Unicode without control characters.
bool is_attribute_text(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t length = utf8_character(text);
    const auto first = static_cast<unsigned char>(text.front());
    if (length == 0 || first < 0x20 || first == 0x7f) return false;
    if (length == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) return false;
    text.remove_prefix(length);
  }
  return true;
}

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

Problem invalid(std::string detail) { return problem_of(ProblemKind::cloudevent_invalid, std::move(detail)); }
Problem unsupported(std::string detail) { return problem_of(ProblemKind::unsupported_media_type, std::move(detail)); }

std::string header_of(std::string_view attribute) { return "ce-" + std::string(attribute); }

std::optional<Problem> sort(std::vector<Envelope::Extension>& extensions) {
  std::sort(extensions.begin(), extensions.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(extensions.begin(), extensions.end(),
                                        [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice == extensions.end()) return std::nullopt;
  return invalid(header_of(twice->name) + " was sent twice");
}

}  // namespace

bool is_rfc3339(std::string_view text) noexcept {
  constexpr std::string_view kShape = "0000-00-00T00:00:00";
  if (text.size() < kShape.size() + 1) return false;
  for (std::size_t i = 0; i < kShape.size(); i++) {
    const char c = text[i];
    if (kShape[i] == '0' ? c < '0' || c > '9' : kShape[i] == 'T' ? lower(c) != 't' : c != kShape[i]) return false;
  }
  const auto two = [text](std::size_t at) { return (text[at] - '0') * 10 + (text[at + 1] - '0'); };
  const int month = two(5), day = two(8);
  if (month < 1 || month > 12 || day < 1 || day > 31 || two(11) > 23 || two(14) > 59 || two(17) > 60) return false;
  std::size_t at = kShape.size();
  if (text[at] == '.') {
    const std::size_t from = ++at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9')
      at++;
    if (at == from || at == text.size()) return false;
  }
  if (lower(text[at]) == 'z') return at + 1 == text.size();
  if ((text[at] != '+' && text[at] != '-') || text.size() != at + 6 || text[at + 3] != ':') return false;
  for (const std::size_t i : {1u, 2u, 4u, 5u}) {
    if (text[at + i] < '0' || text[at + i] > '9') return false;
  }
  return two(at + 1) < 24 && two(at + 4) < 60;
}

std::optional<std::string_view> Envelope::attribute(std::string_view name) const noexcept {
  for (const auto& [known, value] : {std::pair<std::string_view, std::string_view>("id", id),
                                     {"source", source},
                                     {"type", type},
                                     {"time", time},
                                     {"specversion", spec_version}}) {
    if (name == known) return value.data() == nullptr ? std::nullopt : std::optional(value);
  }
  const auto found = std::lower_bound(extensions.begin(), extensions.end(), name,
                                      [](const auto& extension, std::string_view it) { return extension.name < it; });
  if (found == extensions.end() || found->name != name) return std::nullopt;
  return found->value;
}

std::optional<Problem> EnvelopeReader::read(const http::Head& head, Envelope& out) {
  out.cloudevent = out.json = false;
  out.content_type = out.id = out.source = out.type = out.time = out.spec_version = {};
  out.extensions.clear();
  names_.clear();
  values_.clear();
  for (std::size_t i = 0; i < head.header_count; i++) {
    const auto& [name, value] = head.headers[i];
    if (is_attribute(name)) {
      names_.reserve(head.head_bytes);
      values_.reserve(head.head_bytes);
      out.cloudevent = true;
      if (auto problem = attribute(name.substr(3), value, out)) return problem;
    } else if (name.size() == 12 && http::equals_ignoring_case(name, "content-type")) {
      out.content_type = value;
    }
  }
  if (auto problem = sort(out.extensions)) return problem;
  if (!is_printable_ascii(out.content_type))
    return unsupported("Content-Type holds bytes that are not printable ASCII");
  const auto type = media_type(out.content_type);
  out.json = http::equals_ignoring_case(type, "application/json") || ends_with_ignoring_case(type, "+json");
  if (http::equals_ignoring_case(type.substr(0, 23), "application/cloudevents")) {
    return unsupported("CloudEvents in structured or batch mode are not taken by this version; " + std::string(kTaken));
  }
  if (!out.cloudevent) {
    if (out.json) return std::nullopt;
    return unsupported(
        (out.content_type.empty() ? "no Content-Type" : "Content-Type is not JSON and there are no ce- headers") +
        std::string("; ") + std::string(kTaken));
  }
  for (const auto& [name, value] : {std::pair("ce-specversion", out.spec_version),
                                    {"ce-id", out.id},
                                    {"ce-source", out.source},
                                    {"ce-type", out.type}}) {
    if (value.empty()) return invalid(std::string(name) + " is missing or empty");
  }
  if (out.spec_version != "1.0") return invalid("ce-specversion must be 1.0");
  if (!out.time.empty() && !is_rfc3339(out.time)) return invalid("ce-time is not an RFC 3339 time");
  return std::nullopt;
}

std::optional<Problem> EnvelopeReader::attribute(std::string_view header_name, std::string_view raw, Envelope& out) {
  const std::size_t from = names_.size();
  for (const char c : header_name)
    names_ += lower(c);
  const auto name = std::string_view(names_).substr(from);
  const bool well_named = name.size() <= kLongestName && std::all_of(name.begin(), name.end(), [](char c) {
                            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
                          });
  if (!well_named) return invalid(header_of(name) + ": attribute names are 1 to 20 letters and digits");
  if (name == "data" || name == "datacontenttype") {
    return invalid(header_of(name) +
                   " is not an attribute in binary mode: data is the body, its type is in Content-Type");
  }
  const auto value = decode(raw);
  if (!value) return invalid(header_of(name) + ": not percent-encoded UTF-8, or a control character in it");
  std::string_view* known = name == "specversion" ? &out.spec_version
                            : name == "id"        ? &out.id
                            : name == "source"    ? &out.source
                            : name == "type"      ? &out.type
                            : name == "time"      ? &out.time
                                                  : nullptr;
  if (known != nullptr) {
    if (known->data() != nullptr) return invalid(header_of(name) + " was sent twice");
    *known = *value;
    return std::nullopt;
  }
  out.extensions.push_back({name, *value});
  return std::nullopt;
}

// The binding's rule: a quoted string is unquoted, then percent sequences are decoded, once.
std::optional<std::string_view> EnvelopeReader::decode(std::string_view raw) {
  const std::size_t from = values_.size();
  if (raw.size() >= 2 && raw.front() == '"' && raw.back() == '"') {
    raw = raw.substr(1, raw.size() - 2);
    for (std::size_t i = 0; i < raw.size(); i++) {
      if (raw[i] == '"') return std::nullopt;
      if (raw[i] == '\\' && ++i == raw.size()) return std::nullopt;
      values_ += raw[i];
    }
  } else {
    values_ += raw;
  }
  if (values_.find('%', from) != std::string::npos) {
    std::size_t to = from;
    for (std::size_t i = from; i < values_.size(); i++) {
      if (values_[i] != '%') {
        values_[to++] = values_[i];
        continue;
      }
      const int high = i + 2 < values_.size() ? hex_digit(values_[i + 1]) : -1;
      const int low = high < 0 ? -1 : hex_digit(values_[i + 2]);
      if (low < 0) return std::nullopt;
      values_[to++] = static_cast<char>(high * 16 + low);
      i += 2;
    }
    values_.resize(to);
  }
  const auto value = std::string_view(values_).substr(from);
  if (!is_attribute_text(value)) return std::nullopt;
  return value;
}

}  // namespace ratchet::service
