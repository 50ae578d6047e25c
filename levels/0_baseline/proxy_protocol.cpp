#include "levels/0_baseline/proxy_protocol.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace ratchet::http {
namespace {

constexpr std::string_view kV1 = "PROXY ";
constexpr std::string_view kV2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kV2Head = 16;

bool begins_alike(std::string_view input, std::string_view signature) noexcept {
  const std::size_t common = std::min(input.size(), signature.size());
  return input.substr(0, common) == signature.substr(0, common);
}

unsigned byte_at(std::string_view input, std::size_t i) noexcept { return static_cast<unsigned char>(input[i]); }

// ---- version 1: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"

// The next word, up to one blank; empty where there is none.
std::string_view take_word(std::string_view& rest) noexcept {
  const std::size_t blank = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, blank);
  rest.remove_prefix(std::min(blank + 1, rest.size()));
  return word;
}

bool is_port(std::string_view text) noexcept {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && (text.size() == 1 || text.front() != '0');
}

std::optional<AddressBytes> address_of(std::string_view text, bool v6) noexcept {
  if ((text.find(':') != std::string_view::npos) != v6) return std::nullopt;
  return parse_numeric(text);
}

Scan scan_v1(std::string_view input, ProxyHeader& header) noexcept {
  const std::size_t end = input.substr(0, ProxyHeader::kMostV1).find('\n');
  if (end == std::string_view::npos) return input.size() >= ProxyHeader::kMostV1 ? Scan::refused : Scan::incomplete;
  std::string_view line = input.substr(kV1.size(), end - kV1.size());
  if (line.empty() || line.back() != '\r') return Scan::refused;
  line.remove_suffix(1);
  if (line.find_first_of(std::string_view("\r\0", 2)) != std::string_view::npos) return Scan::refused;
  header.bytes = end + 1;
  header.client = {};
  const std::string_view family = take_word(line);
  header.own = family == "UNKNOWN";
  if (header.own) return Scan::complete;  // whatever else it says is to be ignored
  if (family != "TCP4" && family != "TCP6") return Scan::refused;
  const bool v6 = family == "TCP6";
  const auto source = address_of(take_word(line), v6);
  const auto destination = address_of(take_word(line), v6);
  const std::string_view source_port = take_word(line);
  if (!source || !destination || !is_port(source_port) || !is_port(line)) return Scan::refused;
  header.client = AddressText(*source);
  return Scan::complete;
}

// ---- version 2: 12 bytes of signature, version and command, family and protocol, length, addresses, extensions

enum Family : unsigned { kUnspecified = 0, kInet = 1, kInet6 = 2, kUnix = 3 };

std::optional<std::size_t> addresses_bytes(unsigned family) noexcept {
  switch (family) {
    case kUnspecified:
      return 0;
    case kInet:
      return 12;
    case kInet6:
      return 36;
    case kUnix:
      return 216;
    default:
      return std::nullopt;
  }
}

Scan scan_v2(std::string_view input, ProxyHeader& header) noexcept {
  if (input.size() < kV2Head) return Scan::incomplete;
  const unsigned version = byte_at(input, 12) >> 4U, command = byte_at(input, 12) & 15U;
  const unsigned family = byte_at(input, 13) >> 4U, protocol = byte_at(input, 13) & 15U;
  const std::size_t length = byte_at(input, 14) << 8U | byte_at(input, 15);
  if (version != 2 || command > 1 || length > ProxyHeader::kMostV2 - kV2Head) return Scan::refused;
  const bool local = command == 0;
  if (!local) {  // of a LOCAL one nothing else counts
    const auto least = addresses_bytes(family);
    // A stream, which is what came; or a family that says nothing.
    if (!least || length < *least || protocol != (family == kUnspecified ? 0U : 1U)) return Scan::refused;
  }
  if (input.size() < kV2Head + length) return Scan::incomplete;
  header.bytes = kV2Head + length;
  header.client = {};
  header.own = local;
  AddressBytes address{};
  if (!local && family == kInet) {
    address[10] = address[11] = 0xff;
    std::copy_n(input.data() + kV2Head, 4, address.begin() + 12);
    header.client = AddressText(address);
  } else if (!local && family == kInet6) {
    std::copy_n(input.data() + kV2Head, 16, address.begin());
    header.client = AddressText(address);
  }
  return Scan::complete;
}

}  // namespace

Scan scan_proxy(std::string_view input, ProxyHeader& header) noexcept {
  if (begins_alike(input, kV1)) return input.size() < kV1.size() ? Scan::incomplete : scan_v1(input, header);
  if (begins_alike(input, kV2)) return scan_v2(input, header);
  return Scan::refused;
}

}  // namespace ratchet::http
