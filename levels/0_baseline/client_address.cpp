#include "levels/0_baseline/client_address.hpp"

#include <algorithm>
#include <array>

namespace ratchet::http {
namespace {

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view kBlanks = " \t";
  const std::size_t first = std::min(text.find_first_not_of(kBlanks), text.size());
  text.remove_prefix(first);
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". Empty for what hides it
// ("unknown", "_hidden") and for anything else.
std::optional<AddressBytes> address_in_node(std::string_view node) {
  if (!node.empty() && node.front() == '[') {
    const std::size_t end = node.find(']');
    if (end == std::string_view::npos || (end + 1 < node.size() && node[end + 1] != ':')) return std::nullopt;
    return parse_numeric(node.substr(1, end - 1));
  }
  if (std::count(node.begin(), node.end(), ':') == 1) node = node.substr(0, node.find(':'));
  return parse_numeric(node);
}

// One element of Forwarded: "for=192.0.2.43;proto=http", "For=\"[2001:db8::17]:4711\"".
std::optional<AddressBytes> address_in_element(std::string_view element) {
  while (!element.empty()) {
    const std::size_t semicolon = std::min(element.find(';'), element.size());
    const std::string_view pair = trimmed(element.substr(0, semicolon));
    element.remove_prefix(std::min(semicolon + 1, element.size()));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || !equals_ignoring_case(pair.substr(0, equals), "for")) continue;
    std::string_view node = pair.substr(equals + 1);
    if (node.size() >= 2 && node.front() == '"' && node.back() == '"') node = node.substr(1, node.size() - 2);
    return address_in_node(node);
  }
  return std::nullopt;
}

}  // namespace

// The lists of several headers of that name are one, in order. From its end: proxies of ours, then whom the last of
// them saw.
AddressText TrustedProxies::last_stranger(const Head& head, std::string_view header,
                                          std::optional<AddressBytes> (*address_in)(std::string_view)) const noexcept {
  AddressText found;
  for (std::size_t i = head.header_count; i-- > 0;) {
    if (!equals_ignoring_case(head.headers[i].name, header)) continue;
    std::string_view list = head.headers[i].value;
    for (bool more = true; more;) {
      const std::size_t comma = list.rfind(',');
      more = comma != std::string_view::npos;
      const auto address = address_in(trimmed(more ? list.substr(comma + 1) : list));
      if (!address) return found;
      found = AddressText(*address);
      if (!networks_.contain(*address)) return found;
      if (more) list = list.substr(0, comma);
    }
  }
  return found;
}

AddressText TrustedProxies::client(const Head& head) const noexcept {
  const AddressText one = last_stranger(head, "x-forwarded-for", address_in_node);
  const AddressText other = last_stranger(head, "forwarded", address_in_element);
  // A proxy that writes one of them lets the other pass as the client sent it.
  if (head.header("x-forwarded-for") && head.header("forwarded"))
    return one.view() == other.view() ? one : AddressText();
  return one.empty() ? other : one;
}

// What proxies and their services add to a client's request; no balancer puts any of it into a check of its own.
bool is_forwarded(const Head& head) noexcept {
  constexpr std::array<std::string_view, 11> kNames = {"forwarded",
                                                       "via",
                                                       "x-real-ip",
                                                       "x-client-ip",
                                                       "x-cluster-client-ip",
                                                       "true-client-ip",
                                                       "cf-connecting-ip",
                                                       "fastly-client-ip",
                                                       "x-envoy-external-address",
                                                       "x-azure-clientip",
                                                       "x-original-forwarded-for"};
  constexpr std::string_view kAny = "x-forwarded";
  return std::any_of(head.headers.begin(), head.headers.begin() + head.header_count, [&](const Header& header) {
    if (equals_ignoring_case(header.name.substr(0, kAny.size()), kAny)) return true;
    return std::any_of(kNames.begin(), kNames.end(),
                       [&](std::string_view name) { return equals_ignoring_case(header.name, name); });
  });
}

}  // namespace ratchet::http
