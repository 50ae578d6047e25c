#include "levels/1_database/pooler.hpp"

#include <algorithm>

namespace ratchet::db {
namespace {

const std::string kText = "a pooler gives each transaction another server session: ";

}  // namespace

void PoolerCheck::saw(std::size_t which, int told, int found) {
  suspected_ = suspected_ || told != found;
  // Without a pooler nothing is judged: the backends of two servers may well have one number.
  if (told == found || proof_) return;
  if (backends_.size() <= which) backends_.resize(which + 1);
  const auto other = std::find(backends_.begin(), backends_.end(), found);
  if (backends_[which] != 0 && backends_[which] != found) {
    proof_ = kText + "one connection was on the backends " + std::to_string(backends_[which]) + " and " +
             std::to_string(found);
  } else if (other != backends_.end() && other != backends_.begin() + static_cast<std::ptrdiff_t>(which)) {
    proof_ = kText + "two connections shared the backend " + std::to_string(found);
  }
  backends_[which] = found;
}

}  // namespace ratchet::db
