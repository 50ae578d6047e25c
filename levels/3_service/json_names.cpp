#include "levels/3_service/json_names.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ratchet::service {
namespace {

constexpr std::size_t kKeepBytes = std::size_t{64} * 1024;  // buffers larger than this are given back after the scan
constexpr std::size_t kLeastPlaces = 256;

std::uint64_t eight_bytes(const char* p) noexcept {
  std::uint64_t word;
  std::memcpy(&word, p, 8);
  return word;
}

}  // namespace

std::uint64_t sip_hash(std::uint32_t object, std::string_view text, const HashKey& key) noexcept {
  std::uint64_t v0 = key.a ^ 0x736f6d6570736575, v1 = key.b ^ 0x646f72616e646f6d;
  std::uint64_t v2 = key.a ^ 0x6c7967656e657261, v3 = key.b ^ 0x7465646279746573;
  const auto round = [&] {
    v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
  };
  const auto take = [&](std::uint64_t word) {
    v3 ^= word;
    round();
    v0 ^= word;
  };
  take(object);
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8)
    take(eight_bytes(text.data() + i));
  std::uint64_t last = static_cast<std::uint64_t>(text.size()) << 56;
  for (std::size_t k = 0; i + k < text.size(); k++)
    last |= std::uint64_t{static_cast<unsigned char>(text[i + k])} << (8 * k);
  take(last);
  v2 ^= 0xff;
  round(), round(), round();
  return v0 ^ v1 ^ v2 ^ v3;
}

bool JsonNames::Less::operator()(const Place& a, const Place& b) const noexcept {
  names->looks_++;
  if (a.object != b.object) return a.object < b.object;
  return names->text_of(a.at, a.size) < names->text_of(b.at, b.size);
}

void JsonNames::start(std::string_view text) {
  text_ = text;
  stack_.clear();
  unescaped.clear();
  if (large_objects_ > 0) std::fill(table_.begin(), table_.end(), Place{});
  tree_.clear();
  is_tree_ = false;
  in_table_ = 0;
  large_objects_ = 0;
  looks_ = 0;
}

void JsonNames::give_back() {
  if (stack_.capacity() * sizeof(Name) > kKeepBytes) stack_ = {};
  if (table_.capacity() * sizeof(Place) > kKeepBytes) table_ = {};
  if (unescaped.capacity() > kKeepBytes) unescaped = {};
  tree_.clear();
}

void JsonNames::grow_large(Object& object) {
  object.large = ++large_objects_;
  for (std::size_t i = object.first; i < stack_.size(); i++)
    add_large({object.large, stack_[i].at, stack_[i].size});
  stack_.resize(object.first);
}

bool JsonNames::add_large(const Place& name) {
  if (!is_tree_ && in_table_ * 2 >= table_.size() && !grow_table()) become_tree();
  Place* const place = is_tree_ ? nullptr : find(table_, name);
  if (place == nullptr) {
    if (!is_tree_) become_tree();
    return tree_.insert(name).second;
  }
  if (place->object != 0) return false;
  *place = name;
  in_table_++;
  return true;
}

JsonNames::Place* JsonNames::find(std::vector<Place>& table, const Place& name) noexcept {
  const std::string_view text = text_of(name.at, name.size);
  const std::size_t mask = table.size() - 1;
  std::size_t i = sip_hash(name.object, text, key_) & mask;
  for (std::size_t run = 0; run < kLongestRun; run++, i = (i + 1) & mask) {
    Place& place = table[i];
    looks_++;
    if (place.object == 0) return &place;
    if (place.object == name.object && place.size == name.size && text_of(place.at, place.size) == text) return &place;
  }
  return nullptr;
}

bool JsonNames::grow_table() {
  std::vector<Place> larger(std::max(kLeastPlaces, table_.size() * 2));
  for (const Place& old : table_) {
    if (old.object == 0) continue;
    Place* const place = find(larger, old);
    if (place == nullptr) return false;
    *place = old;
  }
  table_ = std::move(larger);
  return true;
}

void JsonNames::become_tree() {
  is_tree_ = true;
  for (const Place& place : table_) {
    if (place.object != 0) tree_.insert(place);
  }
}

}  // namespace ratchet::service
