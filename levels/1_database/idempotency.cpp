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

constexpr char kVersion = 1;  // of fingerprints. Raise it when what goes into them changes

// SHA-256 over the number of parts, then each part behind its length: 8 bytes each, little end first.
class Framed {
 public:
  explicit Framed(std::size_t parts) : context_(EVP_MD_CTX_new()) {
    check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
    number(parts);
  }
  explicit Framed(std::initializer_list<std::string_view> parts) : Framed(parts.size()) {
    for (const auto part : parts)
      add(part);
  }

  void add(std::string_view part) {
    number(part.size());
    check(EVP_DigestUpdate(context_.get(), part.data(), part.size()) == 1);
  }
  void add(const std::optional<std::string_view>& part) {
    if (part) return add(*part);
    number(UINT64_MAX);  // no part is so long
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

Fingerprint fingerprint(const Content& content) {
  Framed framed(7 + 2 * content.attributes.size());
  framed.add(content.method);
  framed.add(content.path);
  framed.add(content.topic);
  framed.add(content.key);
  framed.add(content.body);
  framed.add(content.type);
  framed.add(content.content_type);
  for (const auto& [name, value] : content.attributes) {
    framed.add(name);
    framed.add(value);
  }
  const auto all = framed.digest();
  Fingerprint made{kVersion};
  std::memcpy(made.data() + 1, all.data(), made.size() - 1);
  return made;
}

bool says_the_same(std::string_view stored, std::string_view ours) noexcept {
  return stored == ours || stored.substr(0, 1) != ours.substr(0, 1);
}

}  // namespace ratchet::db
