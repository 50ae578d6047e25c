#include "config/value_reference.hpp"

#include <algorithm>

#include "config/spelling.hpp"

namespace ratchet {

namespace {

ParsedReference wrong(std::string why, std::string did_you_mean = {}) {
  return {{}, std::move(why), std::move(did_you_mean)};
}

// RFC 9110's token, lower-cased: header names know no case.
bool as_header_name(std::string& name) {
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool letter_or_digit = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!letter_or_digit && std::string_view("!#$%&'*+-.^_`|~").find(c) == std::string_view::npos) return false;
  }
  return !name.empty();
}

ParsedReference body(std::string_view rest) {
  ParsedReference out;
  out.reference.from = Reference::From::body;
  out.reference.name = rest;
  for (;;) {
    const std::string_view step = rest.substr(0, rest.find('.'));
    if (step.empty()) return wrong("an empty step between dots");
    out.reference.path.emplace_back(step);
    if (step.size() == rest.size()) return out;
    rest.remove_prefix(step.size() + 1);
  }
}

}  // namespace

ParsedReference parse_reference(std::string_view text) {
  ParsedReference out;
  if (!text.starts_with(':')) {
    out.reference.name = text;
    if (text.empty()) return wrong("an empty text");
    return out;
  }
  const std::string_view inner = text.substr(1);
  const std::string_view source = inner.substr(0, inner.find('.'));
  const bool has_name = source.size() < inner.size();
  const std::string_view rest = has_name ? inner.substr(source.size() + 1) : std::string_view();

  if (source == "row") return wrong("\":row\", which is not supported by this version");
  if (source == "path") return wrong("\":path\", but the paths of event routes have no parameters in this version");
  if (source != "body" && source != "header" && source != "query") {
    const std::string near = closest(source, {"body", "header", "query"});
    return wrong("an unknown source", near.empty() ? "" : ":" + near + (has_name ? "." + std::string(rest) : ""));
  }
  if (rest.empty()) return wrong("a source without a name behind a dot");
  if (source == "body") return body(rest);
  out.reference.name = rest;
  if (source == "query") {
    out.reference.from = Reference::From::query;
    return out;
  }
  out.reference.from = Reference::From::header;
  if (!as_header_name(out.reference.name)) return wrong("a name that no HTTP header can have");
  return out;
}

bool looks_like_a_reference(std::string_view text) noexcept {
  return text.starts_with("body.") || text.starts_with("header.") || text.starts_with("query.");
}

}  // namespace ratchet
