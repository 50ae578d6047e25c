#include "levels/1_database/idempotency.hpp"

#include <openssl/evp.h>

#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>

namespace ratchet::db {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

// SHA-256 over the number of parts, then each part behind its length: 8 bytes each, little end first.
class Framed {
 public:
  explicit Framed(std::initializer_list<std::string_view> parts) : context_(EVP_MD_CTX_new()) {
    check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
    number(parts.size());
    for (const auto part : parts) {
      number(part.size());
      check(EVP_DigestUpdate(context_.get(), part.data(), part.size()) == 1);
    }
  }

  std::array<unsigned char, 32> digest() {
    std::array<unsigned char, 32> all{};
    check(EVP_DigestFinal_ex(context_.get(), all.data(), nullptr) == 1);
    return all;
  }

 private:
  // SHA-256 is always there; without memory nothing goes on anyway.
  static void check(bool ok) {
    if (!ok) throw std::bad_alloc();
  }
  void number(std::uint64_t n) {
    std::array<unsigned char, 8> bytes{};
    for (auto& byte : bytes) {
      byte = static_cast<unsigned char>(n & 0xff);
      n >>= 8;
    }
    check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }

  std::unique_ptr<EVP_MD_CTX, FreeContext> context_;
};

Uuid first_half(std::initializer_list<std::string_view> parts) {
  const auto all = Framed(parts).digest();
  Uuid id{};
  std::memcpy(id.data(), all.data(), id.size());
  return id;
}

}  // namespace

Uuid idempotency_id(std::string_view route, std::string_view principal, std::string_view key) {
  return first_half({route, principal, key});
}

Uuid idempotency_id(std::string_view route, std::string_view principal, std::string_view source, std::string_view id) {
  return first_half({route, principal, source, id});
}

Fingerprint fingerprint(std::string_view method, std::string_view path, std::string_view body) {
  const auto all = Framed({method, path, body}).digest();
  Fingerprint made{};
  std::memcpy(made.data(), all.data(), made.size());
  return made;
}

}  // namespace ratchet::db
