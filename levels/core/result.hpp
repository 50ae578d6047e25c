// A value or the reason why there is none. The environment's failures travel as values; exceptions are for the
// vendor's side of a wall and are caught there.
#pragma once

#include <cassert>
#include <utility>
#include <variant>

#include "levels/core/fault.hpp"

namespace ratchet {

struct Nothing {};  // the value of an action that can only fail

template <class T, class E = Fault>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(E error) : held_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  explicit operator bool() const noexcept { return held_.index() == 0; }
  T& operator*() & noexcept { assert(*this); return std::get<0>(held_); }
  const T& operator*() const& noexcept { assert(*this); return std::get<0>(held_); }
  T&& operator*() && noexcept { assert(*this); return std::get<0>(std::move(held_)); }
  T* operator->() noexcept { assert(*this); return &std::get<0>(held_); }
  const T* operator->() const noexcept { assert(*this); return &std::get<0>(held_); }
  const E& error() const& noexcept { assert(!*this); return std::get<1>(held_); }
  E&& error() && noexcept { assert(!*this); return std::get<1>(std::move(held_)); }

 private:
  std::variant<T, E> held_;
};

}  // namespace ratchet
