// A numeric address as text, kept in place.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "config/network.hpp"

namespace ratchet::http {

class AddressText {
 public:
  AddressText() = default;
  explicit AddressText(const AddressBytes& address) noexcept;  // an IPv4 address inside IPv6 as IPv4

  std::string_view view() const noexcept { return {text_.data(), size_}; }
  bool empty() const noexcept { return size_ == 0; }

 private:
  std::array<char, 46> text_{};
  std::uint8_t size_ = 0;
};

}  // namespace ratchet::http
