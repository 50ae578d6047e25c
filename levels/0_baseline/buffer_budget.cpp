#include "levels/0_baseline/buffer_budget.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>

namespace ratchet::http {
namespace {

constexpr std::size_t kPage = 4096;

constexpr bool is_mapped(std::size_t capacity) noexcept { return capacity >= HeldBytes::kMapped; }

// What is really taken for so many bytes.
constexpr std::size_t rounded(std::size_t bytes) noexcept {
  const std::size_t unit = bytes > kPage ? kPage : HeldBytes::kLeast;
  return (bytes + unit - 1) / unit * unit;
}

void release(char* data, std::size_t capacity) noexcept {
  if (is_mapped(capacity)) ::munmap(data, capacity);
  else std::free(data);  // NOLINT: bytes, and they grow in place
}

// Null: the system has none.
char* obtain(std::size_t capacity) noexcept {
  if (!is_mapped(capacity)) return static_cast<char*>(std::malloc(capacity));  // NOLINT
  void* const fresh = ::mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return fresh == MAP_FAILED ? nullptr : static_cast<char*>(fresh);
}

// The first `size` bytes of `data` with another capacity. Null: the system has none, and nothing has changed.
char* moved(char* data, std::size_t size, std::size_t before, std::size_t capacity) noexcept {
  if (data == nullptr) return obtain(capacity);
  if (!is_mapped(before) && !is_mapped(capacity)) return static_cast<char*>(std::realloc(data, capacity));  // NOLINT
  if (is_mapped(before) && is_mapped(capacity)) {  // its pages are handed over, not copied
    void* const same = ::mremap(data, before, capacity, MREMAP_MAYMOVE);
    return same == MAP_FAILED ? nullptr : static_cast<char*>(same);
  }
  char* const fresh = obtain(capacity);
  if (fresh == nullptr) return nullptr;
  std::memcpy(fresh, data, size);
  release(data, before);
  return fresh;
}

}  // namespace

HeldBytes::HeldBytes(HeldBytes&& other) noexcept
    : budget_(other.budget_),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

HeldBytes& HeldBytes::operator=(HeldBytes&& other) noexcept {
  if (this == &other) return *this;
  clear();
  budget_ = other.budget_;
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  return *this;
}

bool HeldBytes::append(std::string_view bytes, std::size_t expected) noexcept {
  if (bytes.empty()) return true;
  const std::size_t needed = size_ + bytes.size();
  if (needed > capacity_) {
    std::size_t wanted = std::max(needed, 2 * capacity_);
    if (expected >= needed) wanted = std::min(wanted, expected);
    if (!resize(rounded(wanted))) return false;
  }
  std::memcpy(data_ + size_, bytes.data(), bytes.size());
  size_ = needed;
  return true;
}

void HeldBytes::drop_front(std::size_t bytes) noexcept {
  assert(bytes <= size_);
  size_ -= bytes;
  if (size_ == 0) return clear();
  std::memmove(data_, data_ + bytes, size_);
  // Where the system has not even the smaller piece it stays as it is.
  if (const std::size_t enough = rounded(size_); enough <= capacity_ / 2) static_cast<void>(resize(enough));
}

void HeldBytes::clear() noexcept {
  if (data_ == nullptr) return;
  release(data_, capacity_);
  budget_->give_back(capacity_);
  data_ = nullptr;
  size_ = capacity_ = 0;
}

bool HeldBytes::resize(std::size_t capacity) noexcept {
  const std::size_t before = capacity_;
  if (capacity > before && !budget_->take(capacity - before)) return false;
  char* const data = moved(data_, size_, before, capacity);
  if (data == nullptr) {
    if (capacity > before) budget_->give_back(capacity - before);
    return false;
  }
  if (capacity < before) budget_->give_back(before - capacity);
  data_ = data;
  capacity_ = capacity;
  return true;
}

}  // namespace ratchet::http
