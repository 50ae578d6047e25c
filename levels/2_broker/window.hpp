// The records of one page on their way to the broker: what came back, how far without a gap, and what went wrong
// first. Pure bookkeeping; whoever uses it holds one lock around every call.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "levels/2_broker/producer.hpp"

namespace ratchet::kafka {

class Window {
 public:
  struct Failure {
    std::size_t index;
    int code;
    std::string text;
    bool unsent = false;  // we ourselves refused it: no other record is to blame
  };

  // Starts over. What is still under way of an earlier page is ignored when it comes back.
  void open(std::size_t records);
  std::uint64_t token(std::size_t index) const noexcept { return (generation_ << kIndexBits) | index; }

  void sent(std::size_t records) noexcept { sent_ = records; }  // once all that will be sent is
  void refused(std::size_t index, int code, std::string text);  // a record that was never sent
  void passed(std::size_t index);                               // it has gone another way: counts as acknowledged
  void delivered(const Delivery& delivery, bool purged);

  // Everything sent has come back. Asked only after sent().
  bool settled() const noexcept { return back_ == sent_; }
  // So many from the start are acknowledged, without a gap.
  std::size_t acknowledged() const noexcept;
  // What went wrong first; records that were merely taken back are no failure.
  const std::optional<Failure>& failure() const noexcept { return failure_; }
  // Which of those sent have not been acknowledged.
  std::vector<std::size_t> missing(std::size_t sent) const;

  static constexpr std::size_t kMost = 1 << 16;  // records of one page

 private:
  static constexpr int kIndexBits = 16;
  static constexpr std::uint64_t kGenerations = Producer::kTokens >> kIndexBits;

  std::uint64_t generation_ = 0;
  std::vector<bool> acknowledged_;
  std::size_t sent_ = 0, back_ = 0;
  std::optional<Failure> failure_;
};

}  // namespace ratchet::kafka
