#include "levels/3_service/probe_secret.hpp"

#include <algorithm>

namespace ratchet::service {

namespace {

constexpr std::string_view kAlarm = "service.probe-secret";
constexpr Duration kRest = std::chrono::seconds(10);
constexpr std::size_t kMostBytes = 1024;

bool fits_a_header(std::string_view text) noexcept {
  return text.size() <= kMostBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

void ProbeSecret::renew(TimePoint now) {
  if (!secret_ || (read_at_ && now - *read_at_ < kRest)) return;
  read_at_ = now;
  Secret::Value value = secret_->read();
  if (value.error.empty() && !fits_a_header(value.text))
    value.error = "it is longer than 1024 bytes, or holds blanks or control characters, which HAProxy cannot send";
  if (value.error.empty()) {
    health_.set_probe_secret(std::move(value.text));
    alarms_.clear(std::string(kAlarm));
  } else {
    health_.set_probe_secret({});
    alarms_.set(
        std::string(kAlarm), "no balancer's word is heard: service.probe_secret: " + value.error,
        "Put the secret where service.probe_secret names it, readable by the daemon; it is read again by itself.");
  }
}

}  // namespace ratchet::service
