#include "levels/2_broker/window.hpp"

#include <algorithm>
#include <utility>

namespace ratchet::kafka {

void Window::open(std::size_t records) {
  assert(records <= kMost);
  generation_ = (generation_ + 1) % kGenerations;
  acknowledged_.assign(records, false);
  sent_ = back_ = 0;
  failure_.reset();
}

void Window::refused(std::size_t index, int code, std::string text) {
  if (!failure_) failure_ = Failure{index, code, std::move(text), true};
}

void Window::passed(std::size_t index) {
  acknowledged_[index] = true;
  ++back_;
  failure_.reset();
}

void Window::delivered(const Delivery& delivery, bool purged) {
  if (delivery.token >> kIndexBits != generation_) return;
  std::size_t index = delivery.token & (kMost - 1);
  ++back_;
  if (delivery.code == 0) {
    acknowledged_[index] = true;
  } else if (!purged && !failure_) {
    failure_ = Failure{index, delivery.code, delivery.text};
  }
}

std::vector<std::size_t> Window::missing(std::size_t sent) const {
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < sent; ++i) {
    if (!acknowledged_[i]) missing.push_back(i);
  }
  return missing;
}

std::size_t Window::acknowledged() const noexcept {
  auto gap = std::find(acknowledged_.begin(), acknowledged_.end(), false);
  return static_cast<std::size_t>(gap - acknowledged_.begin());
}

}  // namespace ratchet::kafka
