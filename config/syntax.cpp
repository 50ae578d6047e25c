#include "config/syntax.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace ratchet {

namespace {

bool is_letter_or_digit(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool consists_of(std::string_view text, std::string_view others) noexcept {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return is_letter_or_digit(c) || others.find(c) != std::string_view::npos; });
}

std::optional<std::uint16_t> parse_port(std::string_view text) noexcept {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

struct HostAndPort {
  std::string host;
  std::uint16_t port = 0;
  bool bracketed = false;
};

std::optional<HostAndPort> split(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty() || bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  return HostAndPort{std::string(host), *port, bracketed};
}

std::optional<std::string> canonical(int family, const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (::inet_pton(family, host.c_str(), bytes.data()) != 1) return std::nullopt;
  if (::inet_ntop(family, bytes.data(), text.data(), static_cast<socklen_t>(text.size())) == nullptr)
    return std::nullopt;
  return std::string(text.data());
}

}  // namespace

std::optional<ListenAddress> parse_address(std::string_view text) {
  const auto parts = split(text);
  if (!parts) return std::nullopt;
  const auto host = canonical(parts->bracketed ? AF_INET6 : AF_INET, parts->host);
  if (!host) return std::nullopt;
  return ListenAddress{*host, parts->port, ""};
}

std::optional<ListenAddress> parse_listen(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  constexpr std::size_t kLongestPath = 107;  // of sockaddr_un, with its end
  if (!text.starts_with(kUnix)) return parse_address(text);
  const std::string_view path = text.substr(kUnix.size());
  const bool good = path.size() > 1 && path.size() <= kLongestPath && path.front() == '/' && path.back() != '/' &&
                    is_visible(path);
  return good ? std::optional(ListenAddress{"", 0, std::string(path)}) : std::nullopt;
}

bool is_endpoint(std::string_view text) {
  const auto parts = split(text);
  if (!parts) return false;
  if (parts->bracketed) return canonical(AF_INET6, parts->host).has_value();
  return parts->host.size() <= 253 && consists_of(parts->host, ".-_");
}

bool is_topic(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 249 && text != "." && text != ".." && consists_of(text, "._-");
}

std::string route_path_fault(std::string_view text, std::size_t longest) {
  if (!text.starts_with('/')) return "which does not start with '/'";
  if (text.size() > longest) return "which is " + std::to_string(text.size()) + " bytes long";
  if (text.find('?') != std::string_view::npos) return "which holds a query ('?')";
  if (text.find_first_of("{}") != std::string_view::npos)
    return "with a parameter, which is not supported by this version";
  if (!consists_of(text, "/._~-")) return "with a character that is not allowed";
  for (std::string_view rest = text.substr(1);;) {
    const std::string_view step = rest.substr(0, rest.find('/'));
    if (step == "." || step == "..") return "with \".\" or \"..\" in it";
    if (step.size() == rest.size()) break;
    if (step.empty()) return "with an empty part (\"//\")";
    rest.remove_prefix(step.size() + 1);
  }
  if (text == "/live" || text == "/ready" || text == "/health") return "which is the daemon's own";
  return {};
}

bool is_visible(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

bool is_pool_name(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 32 && consists_of(text, "_-");
}

bool is_attribute_name(std::string_view text) noexcept {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

bool is_property_name(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 100 && consists_of(text, "._") &&
         std::none_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool is_variable_name(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 255 && consists_of(text, "_") && !(text.front() >= '0' && text.front() <= '9');
}

std::string shown(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::size_t end = std::min(text.size(), kLongest);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;
  std::string out = "\"";
  for (const char c : text.substr(0, end)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  if (end < text.size()) out += "...";
  return out + "\"";
}

}  // namespace ratchet
