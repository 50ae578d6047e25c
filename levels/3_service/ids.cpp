#include "levels/3_service/ids.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace ratchet::service {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

// The lowest `digits` hexadecimal digits of `value`.
char* put_hex(char* to, std::uint64_t value, int digits) noexcept {
  for (int i = digits - 1; i >= 0; i--)
    *to++ = "0123456789abcdef"[value >> (4 * i) & 15];
  return to;
}

char* put_decimal(char* to, std::uint64_t value, int digits) noexcept {
  for (int i = digits - 1; i >= 0; i--, value /= 10)
    to[i] = static_cast<char>('0' + value % 10);
  return to + digits;
}

bool is_lower_hex(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

std::uint64_t Ids::next() noexcept {
  if (used_ == drawn_.size()) {
    random_.fill(drawn_);
    used_ = 0;
  }
  std::uint64_t word;
  std::memcpy(&word, drawn_.data() + used_, sizeof word);
  used_ += sizeof word;
  return word;
}

std::string_view Ids::uuid7(WallTime now) noexcept {
  const auto ms = static_cast<std::uint64_t>(duration_cast<milliseconds>(now.time_since_epoch()).count());
  const std::uint64_t high = ms << 16 | 0x7000 | (next() & 0xfff), low = next() >> 2 | std::uint64_t{1} << 63;
  char* to = put_hex(uuid_.data(), high >> 32, 8);
  *to++ = '-';
  to = put_hex(to, high >> 16, 4);
  *to++ = '-';
  to = put_hex(to, high, 4);
  *to++ = '-';
  to = put_hex(to, low >> 48, 4);
  *to++ = '-';
  put_hex(to, low, 12);
  return {uuid_.data(), uuid_.size()};
}

std::string_view Ids::trace_parent() noexcept {
  std::copy_n("00-", 3, trace_.data());
  char* to = put_hex(trace_.data() + 3, next(), 16);
  to = put_hex(to, next() | 1, 16);
  *to++ = '-';
  to = put_hex(to, next() | 1, 16);
  std::copy_n("-00", 3, to);
  return {trace_.data(), trace_.size()};
}

std::string_view TimeText::of(WallTime now) noexcept {
  const auto ms = std::chrono::floor<milliseconds>(now);
  const auto second = std::chrono::floor<std::chrono::seconds>(ms);
  char* at = text_.data();
  if (second.time_since_epoch().count() != second_) {
    second_ = second.time_since_epoch().count();
    const auto day = std::chrono::floor<std::chrono::days>(second);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(second - day);
    const auto put = [&at](auto value, int digits, char after) {
      at = put_decimal(at, static_cast<std::uint64_t>(value), digits);
      *at++ = after;
    };
    put(static_cast<int>(date.year()), 4, '-');
    put(static_cast<unsigned>(date.month()), 2, '-');
    put(static_cast<unsigned>(date.day()), 2, 'T');
    put(clock.hours().count(), 2, ':');
    put(clock.minutes().count(), 2, ':');
    put(clock.seconds().count(), 2, '.');
    text_.back() = 'Z';
  }
  put_decimal(text_.data() + 20, static_cast<std::uint64_t>((ms - second).count()), 3);
  return {text_.data(), text_.size()};
}

bool is_trace_parent(std::string_view text) noexcept {
  // 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01; later versions may add fields at the end.
  constexpr std::size_t kSize = 55;
  if (text.size() < kSize || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  const auto version = text.substr(0, 2), trace = text.substr(3, 32), parent = text.substr(36, 16);
  if (version == "ff" || (version == "00" ? text.size() != kSize : text.size() > kSize && text[kSize] != '-'))
    return false;
  if (text.size() > 512) return false;
  const auto all_zero = [](std::string_view hex) { return hex.find_first_not_of('0') == std::string_view::npos; };
  return is_lower_hex(version) && is_lower_hex(trace) && is_lower_hex(parent) && is_lower_hex(text.substr(53, 2)) &&
         !all_zero(trace) && !all_zero(parent) &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace ratchet::service
