#include "config/network.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace ratchet {
namespace {

constexpr unsigned kV4Prefix = 96;

bool is_v4(const AddressBytes& address) noexcept {
  return std::all_of(address.begin(), address.begin() + 10, [](unsigned char b) { return b == 0; }) &&
         address[10] == 0xff && address[11] == 0xff;
}

// The bits of byte `i` that count.
unsigned char mask(unsigned prefix, std::size_t i) noexcept {
  const auto before = static_cast<unsigned>(i) * 8;
  if (prefix >= before + 8) return 0xff;
  return static_cast<unsigned char>(prefix <= before ? 0U : 0xff00U >> (prefix - before));
}

}  // namespace

std::optional<AddressBytes> parse_numeric(std::string_view text) noexcept {
  std::array<char, INET6_ADDRSTRLEN> copy{};  // inet_pton wants an end
  if (text.empty() || text.size() >= copy.size() || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::copy(text.begin(), text.end(), copy.begin());
  AddressBytes bytes{};
  if (text.find(':') != std::string_view::npos) {
    if (inet_pton(AF_INET6, copy.data(), bytes.data()) != 1) return std::nullopt;
    return bytes;
  }
  bytes[10] = bytes[11] = 0xff;
  if (inet_pton(AF_INET, copy.data(), &bytes[12]) != 1) return std::nullopt;
  return bytes;
}

bool Network::contains(const AddressBytes& other) const noexcept {
  // "::/0" does not say every IPv4 address, too.
  if (local || is_v4(address) != is_v4(other)) return false;
  for (std::size_t i = 0; i < address.size(); ++i) {
    if (((address[i] ^ other[i]) & mask(prefix, i)) != 0) return false;
  }
  return true;
}

std::optional<Network> parse_network(std::string_view text) noexcept {
  Network network;
  if (text == "unix:") {
    network.local = true;
    return network;
  }
  const std::size_t slash = text.find('/');
  const auto address = parse_numeric(text.substr(0, slash));
  if (!address) return std::nullopt;
  network.address = *address;
  if (slash != std::string_view::npos) {
    const std::string_view length = text.substr(slash + 1);
    const unsigned offset = text.find(':') == std::string_view::npos ? kV4Prefix : 0;
    unsigned bits = 0;
    const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bits);
    if (error != std::errc() || end != length.data() + length.size() || bits > 128 - offset) return std::nullopt;
    network.prefix = bits + offset;
  }
  for (std::size_t i = 0; i < network.address.size(); ++i) {
    if ((network.address[i] & ~mask(network.prefix, i) & 0xff) != 0) return std::nullopt;
  }
  return network;
}

Networks::Networks(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    const auto network = parse_network(text);
    if (!network) continue;
    if (network->local) local_ = true;
    all_.push_back(*network);
  }
}

bool Networks::contain(const AddressBytes& address) const noexcept {
  return std::any_of(all_.begin(), all_.end(), [&](const Network& n) { return n.contains(address); });
}

bool Networks::contain(std::string_view peer) const noexcept {
  if (peer.empty()) return local_;
  const auto address = parse_numeric(peer);
  return address && contain(*address);
}

}  // namespace ratchet
