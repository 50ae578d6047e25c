// The rows of one commit, kept as the very arrays the statement takes: PostgreSQL's binary array format, one per
// column. Adding an event appends its bytes; nothing is allocated once the buffers have grown, nothing is converted
// before sending. Not synchronised.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "levels/1_database/connection.hpp"
#include "levels/1_database/group_commit.hpp"

namespace ratchet::db {

// A one-dimensional array: header (dimensions, flags, type, length, lower bound), then length and bytes of each
// element.
class ArrayColumn {
 public:
  enum class Type : std::uint32_t { bytea = 17, text = 25, uuid = 2950, jsonb = 3802 };  // the server's own numbers

  explicit ArrayColumn(Type type) : type_(type) { clear(); }
  void clear();
  void cut_to(std::size_t bytes) { buffer_.resize(bytes); }
  void add(std::string_view value);
  void add_null() { number(kNull); }
  // The finished value. More may be added afterwards.
  std::string_view value(std::uint32_t rows);
  std::size_t bytes() const noexcept { return buffer_.size(); }
  std::size_t capacity() const noexcept { return buffer_.capacity(); }

  // Walking along: `at` is the start of an element (the first one's is `begin`) and moves to the next.
  static constexpr std::size_t begin() noexcept { return kHeader; }
  std::string_view element(std::size_t& at) const;              // "" for null; jsonb without its version byte
  void copy_element(const ArrayColumn& from, std::size_t& at);  // as it is
  void skip_element(std::size_t& at) const;

 private:
  static constexpr std::uint32_t kNull = 0xffffffff;
  static constexpr std::size_t kHeader = 20;
  void number(std::uint32_t n);
  std::uint32_t length_at(std::size_t at) const;  // of an element, 0 for null

  Type type_;
  std::string buffer_;
};

class Batch {
 public:
  static constexpr std::size_t kColumns = 7;
  static constexpr std::size_t kMostRows = 10'000;

  std::size_t rows() const noexcept { return tokens_.size(); }
  std::size_t withdrawn() const noexcept { return withdrawn_; }
  bool has_keys() const noexcept { return keyed_ > 0; }
  std::size_t bytes() const noexcept;  // used; tokens included
  std::size_t capacity() const noexcept;
  const std::vector<std::uint64_t>& tokens() const noexcept { return tokens_; }

  static std::size_t bytes_of(const Event& event) noexcept;  // what `add` will take
  void add(const Event& event, std::uint64_t token);  // all of it, or an exception and nothing
  void clear();

  // False: there is no such row, or it has been withdrawn before.
  bool withdraw(std::size_t row, std::uint64_t token);
  // Leaves out what was withdrawn; `scratch` lends its buffers.
  void drop_withdrawn(Batch& scratch);

  // For `ratchet.append`; views into this batch. Without any key the first three are null, which is the cheaper way
  // there.
  std::array<Parameter, kColumns> parameters();

  // Walks from row to row, the first one first.
  class Walk {
   public:
    explicit Walk(const Batch& batch) noexcept : batch_(batch) { at_.fill(ArrayColumn::begin()); }
    void copy_next(Batch& into);  // appends the row
    void skip_next();

   private:
    const Batch& batch_;
    std::array<std::size_t, kColumns> at_{};
    std::size_t row_ = 0;
  };

  const ArrayColumn& keys() const noexcept { return columns_[0]; }
  const ArrayColumn& fingerprints() const noexcept { return columns_[1]; }
  const ArrayColumn& replies() const noexcept { return columns_[2]; }

 private:
  using Type = ArrayColumn::Type;
  void append(const Event& event);

  std::array<ArrayColumn, kColumns> columns_{
      ArrayColumn(Type::uuid),  ArrayColumn(Type::bytea), ArrayColumn(Type::bytea), ArrayColumn(Type::text),
      ArrayColumn(Type::bytea), ArrayColumn(Type::jsonb), ArrayColumn(Type::bytea)};
  std::vector<std::uint64_t> tokens_;
  std::vector<bool> gone_;  // empty until something is withdrawn
  std::size_t withdrawn_ = 0;
  std::size_t keyed_ = 0;
};

}  // namespace ratchet::db
