// What must be true, and the first time it was not. A run goes on until its end or the first violation.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tests/simulation/timeline.hpp"

namespace ratchet::simulation {

class Judge {
 public:
  // `say` gets every line of the run's journal; empty: nobody listens.
  Judge(const Timeline& time, std::function<void(const std::string&)> say) : time_(time), say_(std::move(say)) {}

  void must(bool holds, const char* rule, const std::string& detail = {}) {
    if (holds || violation_) return;
    violation_ = std::string(rule) + (detail.empty() ? "" : ": " + detail);
    tell(-1, "VIOLATION " + *violation_);
  }
  const std::optional<std::string>& violation() const noexcept { return violation_; }

  // One line of the journal. Its text takes part in the digest, so it must not depend on addresses.
  void tell(int daemon, const std::string& text) {
    for (const char c : text)
      digest_ = (digest_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    digest_ = (digest_ ^ static_cast<std::uint64_t>(time_.now().time_since_epoch().count())) * 0x100000001b3u;
    if (!say_) return;
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time_.now() - began_).count();
    std::string stamp = std::to_string(us / 1000) + "." + std::to_string(us / 100 % 10);
    stamp.insert(0, stamp.size() < 9 ? 9 - stamp.size() : 0, ' ');
    say_(stamp + " ms  " + (daemon < 0 ? "world" : "daemon " + std::to_string(daemon)) + ": " + text);
  }
  std::uint64_t digest() const noexcept { return digest_; }

 private:
  const Timeline& time_;
  const TimePoint began_ = time_.now();
  std::function<void(const std::string&)> say_;
  std::optional<std::string> violation_;
  std::uint64_t digest_ = 0xcbf29ce484222325u;
};

}  // namespace ratchet::simulation
