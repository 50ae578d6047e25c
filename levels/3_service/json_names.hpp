// Which names the open objects of one JSON text have, so that a name that comes twice in one object is seen.
//
// The names of all open objects lie on one stack, each object's at its top end, so an object's names are one stretch of
// an array. Up to kLinear of them a new one is compared with each (by a 64-bit tag first: length and six bytes). An
// object that grows larger moves into a hash table shared by all large objects of the text. The hash is keyed, because
// bodies come from strangers; and should they know the key after all, the table becomes a tree once a name had to look
// at kLongestRun places: n names never cost more than n * (kLongestRun + log n) looks.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ratchet::service {

struct HashKey {
  std::uint64_t a = 0, b = 0;
};

// SipHash-1-3 of `object`, then `text`.
std::uint64_t sip_hash(std::uint32_t object, std::string_view text, const HashKey& key) noexcept;

// One thread at a time.
class JsonNames {
 public:
  static constexpr std::size_t kLinear = 32;
  static constexpr std::size_t kLongestRun = 128;

  struct Name {
    std::uint64_t tag;
    std::uint32_t at;  // in the text, or past its end: in `unescaped`
    std::uint32_t size;
  };
  struct Object {
    std::size_t first;        // of its names on the stack
    std::uint32_t large = 0;  // its number in the table, once it is large
  };

  // `key`: unknown to senders.
  explicit JsonNames(const HashKey& key) : key_(key), tree_(Less{this}) {}
  JsonNames(const JsonNames&) = delete;
  JsonNames& operator=(const JsonNames&) = delete;

  void start(std::string_view text);  // forgets all; `text` below 2 GiB, valid until the next start
  void give_back();                   // buffers that have grown large

  Object open() const noexcept { return {stack_.size()}; }
  void close(const Object& object) { stack_.resize(object.first); }

  // Of the innermost open object. False: it has this name already.
  bool add(Object& object, const Name& name) {
    if (object.large != 0) return add_large({object.large, name.at, name.size});
    const std::string_view text = text_of(name.at, name.size);
    for (std::size_t i = object.first; i < stack_.size(); i++) {
      const Name& other = stack_[i];
      if (other.tag == name.tag && other.size == name.size && text_of(other.at, other.size) == text) return false;
    }
    stack_.push_back(name);
    if (stack_.size() - object.first == kLinear) grow_large(object);
    return true;
  }

  std::string_view text_of(std::uint32_t at, std::uint32_t size) const noexcept {
    return at < text_.size() ? text_.substr(at, size) : std::string_view(unescaped).substr(at - text_.size(), size);
  }

  // Names with escapes are compared unescaped; they are kept here, and their addresses follow the text's.
  std::string unescaped;

  // Places looked at for names of large objects since start().
  std::uint64_t looks() const noexcept { return looks_; }

 private:
  struct Place {
    std::uint32_t object = 0;  // 0: free
    std::uint32_t at = 0, size = 0;
  };
  struct Less {
    JsonNames* names;
    bool operator()(const Place& a, const Place& b) const noexcept;
  };

  void grow_large(Object& object);
  bool add_large(const Place& name);
  Place* find(std::vector<Place>& table, const Place& name) noexcept;  // null: looked for too long
  bool grow_table();                                                   // false: the same
  void become_tree();

  const HashKey key_;
  std::string_view text_;
  std::vector<Name> stack_;
  std::vector<Place> table_;
  std::size_t in_table_ = 0;
  std::uint32_t large_objects_ = 0;
  std::uint64_t looks_ = 0;
  std::set<Place, Less> tree_;
  bool is_tree_ = false;
};

}  // namespace ratchet::service
