// What a reactor may hold of requests and answers that are under way: one budget in bytes over all its connections.
// Counted is capacity, what was asked of the system, not what is filled of it. A buffer grows by doubling, towards the
// size that is expected and not beyond, so that a length that was only declared costs nothing. What is large is mapped
// by itself and goes back to the system at the moment it is given up; an allocator would keep it. One thread.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace ratchet::http {

class BufferBudget {
 public:
  explicit BufferBudget(std::size_t most) noexcept : most_(most) {}
  BufferBudget(const BufferBudget&) = delete;
  BufferBudget& operator=(const BufferBudget&) = delete;

  bool take(std::size_t bytes) noexcept {  // false: that much is not left
    if (bytes > most_ - used_) return false;
    used_ += bytes;
    return true;
  }
  void give_back(std::size_t bytes) noexcept { used_ -= bytes; }

  std::size_t most() const noexcept { return most_; }
  std::size_t used() const noexcept { return used_; }

 private:
  const std::size_t most_;
  std::size_t used_ = 0;
};

// Bytes on a budget, which must outlive them.
class HeldBytes {
 public:
  static constexpr std::size_t kLeast = 256;           // the first capacity
  static constexpr std::size_t kMapped = 64UL * 1024;  // from this capacity on mapped by itself

  explicit HeldBytes(BufferBudget& budget) noexcept : budget_(&budget) {}
  HeldBytes(HeldBytes&& other) noexcept;
  HeldBytes& operator=(HeldBytes&& other) noexcept;
  ~HeldBytes() { clear(); }

  // `expected`: how much it will be in the end, as far as known; 0: unknown. False: neither budget nor system has the
  // room; then nothing has changed.
  [[nodiscard]] bool append(std::string_view bytes, std::size_t expected = 0) noexcept;
  void drop_front(std::size_t bytes) noexcept;  // and the room that nothing needs any more
  void clear() noexcept;                        // gives everything back

  std::string_view view() const noexcept { return {data_, size_}; }
  std::size_t size() const noexcept { return size_; }
  std::size_t capacity() const noexcept { return capacity_; }
  bool empty() const noexcept { return size_ == 0; }

 private:
  bool resize(std::size_t capacity) noexcept;

  BufferBudget* budget_;
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace ratchet::http
