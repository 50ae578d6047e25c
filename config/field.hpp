// Writing a value to where a row of the table points, whatever the type of the field.
#pragma once

#include <cassert>

#include "config/keys.hpp"

namespace ratchet {

struct Store {
  const Place& place;
  std::int64_t value;

  void operator()(std::monostate) const {}
  void operator()(FieldOf<int> at) const { *at(place) = static_cast<int>(value); }
  void operator()(FieldOf<std::size_t> at) const { *at(place) = static_cast<std::size_t>(value); }
  void operator()(FieldOf<milliseconds> at) const { *at(place) = milliseconds{value}; }
  void operator()(FieldOf<seconds> at) const { *at(place) = seconds{value}; }
  void operator()(FieldOf<bool> at) const { *at(place) = value != 0; }
  void operator()(FieldOf<std::optional<bool>> at) const { *at(place) = value != 0; }
  void operator()(FieldOf<PoolRole> at) const { *at(place) = static_cast<PoolRole>(value); }
  void operator()(FieldOf<std::optional<milliseconds>> at) const { *at(place) = milliseconds{value}; }
  void operator()(FieldOf<OnLoss> at) const { *at(place) = static_cast<OnLoss>(value); }
  void operator()(FieldOf<LogFormat> at) const { *at(place) = static_cast<LogFormat>(value); }
  void operator()(FieldOf<RegistrarType> at) const { *at(place) = static_cast<RegistrarType>(value); }
  void operator()(FieldOf<HttpMethod> at) const { *at(place) = static_cast<HttpMethod>(value); }
  template <class T>
  void operator()(FieldOf<T>) const {
    assert(false && "a row whose shape and field do not fit");
  }
};

template <class T>
T* field(const Key& key, const Place& place) {
  const auto* at = std::get_if<FieldOf<T>>(&key.field);
  assert(at != nullptr && "a row whose shape and field do not fit");
  return (*at)(place);
}

// A list that means something else empty than not written.
inline bool may_be_absent(const Key& key) {
  return std::holds_alternative<FieldOf<std::optional<std::vector<std::string>>>>(key.field);
}

// The texts of a list; from now on it is written.
inline std::vector<std::string>& texts(const Key& key, const Place& place) {
  if (!may_be_absent(key)) return *field<std::vector<std::string>>(key, place);
  auto& to = *field<std::optional<std::vector<std::string>>>(key, place);
  return to ? *to : to.emplace();
}

}  // namespace ratchet
