#include "levels/1_database/batch.hpp"

#include <cassert>
#include <cstring>
#include <utility>

namespace ratchet::db {
namespace {

constexpr std::size_t kLength = 4;  // of an element, before its bytes

std::array<char, kLength> big_end_first(std::uint32_t n) noexcept {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8), static_cast<char>(n)};
}

std::string_view bytes_view(const Uuid& id) noexcept { return {reinterpret_cast<const char*>(id.data()), id.size()}; }

}  // namespace

void ArrayColumn::number(std::uint32_t n) {
  const auto bytes = big_end_first(n);
  buffer_.append(bytes.data(), bytes.size());
}

void ArrayColumn::clear() {
  buffer_.clear();
  for (const std::uint32_t n : {1u, 0u, static_cast<std::uint32_t>(type_), 0u, 1u})
    number(n);
}

void ArrayColumn::add(std::string_view value) {
  if (type_ == Type::jsonb) {
    number(static_cast<std::uint32_t>(value.size() + 1));
    buffer_ += '\1';  // jsonb's only version so far
  } else {
    number(static_cast<std::uint32_t>(value.size()));
  }
  buffer_.append(value);
}

// The flag "holds nulls" is a hint the server does not need.
std::string_view ArrayColumn::value(std::uint32_t rows) {
  const auto bytes = big_end_first(rows);
  std::memcpy(buffer_.data() + 12, bytes.data(), bytes.size());
  return buffer_;
}

std::uint32_t ArrayColumn::length_at(std::size_t at) const {
  assert(at + kLength <= buffer_.size());
  std::uint32_t n = 0;
  for (std::size_t i = 0; i < kLength; ++i)
    n = n << 8 | static_cast<unsigned char>(buffer_[at + i]);
  return n == kNull ? 0 : n;
}

std::string_view ArrayColumn::element(std::size_t& at) const {
  const std::size_t start = at + kLength;
  skip_element(at);
  const std::size_t version = type_ == Type::jsonb && at > start ? 1 : 0;
  return std::string_view(buffer_).substr(start + version, at - start - version);
}

void ArrayColumn::skip_element(std::size_t& at) const { at += kLength + length_at(at); }

void ArrayColumn::copy_element(const ArrayColumn& from, std::size_t& at) {
  const std::size_t start = at;
  from.skip_element(at);
  buffer_.append(from.buffer_, start, at - start);
}

std::size_t Batch::bytes() const noexcept {
  std::size_t all = tokens_.size() * sizeof(std::uint64_t);
  for (const auto& column : columns_)
    all += column.bytes() - ArrayColumn::begin();
  return all;
}

std::size_t Batch::capacity() const noexcept {
  std::size_t all = tokens_.capacity() * sizeof(std::uint64_t);
  for (const auto& column : columns_)
    all += column.capacity();
  return all;
}

std::size_t Batch::bytes_of(const Event& event) noexcept {
  return sizeof(std::uint64_t) + kColumns * kLength + 1 +
         (event.idempotency ? sizeof(Uuid) + event.fingerprint.size() : 0) + event.reply.size() + event.topic.size() +
         (event.key ? event.key->size() : 0) + event.headers.size() + event.payload.size();
}

// A row that is in some columns only would give the rows after it each other's fields.
void Batch::add(const Event& event, std::uint64_t token) {
  std::array<std::size_t, kColumns> before{};
  for (std::size_t i = 0; i < kColumns; ++i)
    before[i] = columns_[i].bytes();
  try {
    append(event);
    tokens_.push_back(token);
  } catch (...) {  // no memory
    for (std::size_t i = 0; i < kColumns; ++i)
      columns_[i].cut_to(before[i]);
    throw;
  }
  if (event.idempotency) ++keyed_;
}

void Batch::append(const Event& event) {
  assert(!event.idempotency || event.fingerprint.size() == sizeof(Fingerprint));
  if (event.idempotency) {
    columns_[0].add(bytes_view(*event.idempotency));
    columns_[1].add(event.fingerprint);
  } else {
    columns_[0].add_null();
    columns_[1].add_null();
  }
  columns_[2].add(event.reply);
  columns_[3].add(event.topic);
  if (event.key) {
    columns_[4].add(*event.key);
  } else {
    columns_[4].add_null();
  }
  columns_[5].add(event.headers);
  columns_[6].add(event.payload);
}

void Batch::clear() {
  for (auto& column : columns_)
    column.clear();
  tokens_.clear();
  gone_.clear();
  withdrawn_ = keyed_ = 0;
}

bool Batch::withdraw(std::size_t row, std::uint64_t token) {
  if (row >= tokens_.size() || tokens_[row] != token) return false;
  if (gone_.size() < tokens_.size()) gone_.resize(tokens_.size());
  if (gone_[row]) return false;
  gone_[row] = true;
  ++withdrawn_;
  return true;
}

void Batch::drop_withdrawn(Batch& scratch) {
  if (withdrawn_ == 0) return;
  scratch.clear();
  Walk walk(*this);
  for (std::size_t row = 0; row < rows(); ++row) {
    if (row < gone_.size() && gone_[row]) {
      walk.skip_next();
    } else {
      walk.copy_next(scratch);
    }
  }
  std::swap(*this, scratch);
}

std::array<Parameter, Batch::kColumns> Batch::parameters() {
  const auto count = static_cast<std::uint32_t>(rows());
  std::array<Parameter, kColumns> all;
  for (std::size_t i = 0; i < kColumns; ++i) {
    const bool null = i < 3 && !has_keys();
    all[i] = Parameter{null ? std::string_view() : columns_[i].value(count), null, true};
  }
  return all;
}

void Batch::Walk::copy_next(Batch& into) {
  assert(row_ < batch_.rows());
  auto key_at = at_[0];
  const bool keyed = !batch_.keys().element(key_at).empty();
  for (std::size_t i = 0; i < kColumns; ++i)
    into.columns_[i].copy_element(batch_.columns_[i], at_[i]);
  into.tokens_.push_back(batch_.tokens_[row_++]);
  if (keyed) ++into.keyed_;
}

void Batch::Walk::skip_next() {
  assert(row_ < batch_.rows());
  for (std::size_t i = 0; i < kColumns; ++i)
    batch_.columns_[i].skip_element(at_[i]);
  ++row_;
}

}  // namespace ratchet::db
