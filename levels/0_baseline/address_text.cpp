#include "levels/0_baseline/address_text.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace ratchet::http {

AddressText::AddressText(const AddressBytes& address) noexcept {
  const bool v4 = std::all_of(address.begin(), address.begin() + 10, [](unsigned char b) { return b == 0; }) &&
                  address[10] == 0xff && address[11] == 0xff;
  const auto room = static_cast<socklen_t>(text_.size());
  const char* const written = v4 ? inet_ntop(AF_INET, &address[12], text_.data(), room)
                                 : inet_ntop(AF_INET6, address.data(), text_.data(), room);
  size_ = written == nullptr ? std::uint8_t{0} : static_cast<std::uint8_t>(std::strlen(written));
}

}  // namespace ratchet::http
