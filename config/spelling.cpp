#include "config/spelling.hpp"

#include <algorithm>
#include <limits>

namespace ratchet {

namespace {

constexpr std::size_t kLongest = 64;  // longer words are not compared: the cost is the product of the lengths

constexpr std::size_t kShortest = 3;  // of a beginning that says enough ("warn" for "warning")

std::string folded(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-') c = '_';
  }
  return out;
}

// Damerau-Levenshtein, adjacent swaps only.
std::size_t slips(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = a[i - 1] == b[j - 1];
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    before_last.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::string closest(std::string_view written, const std::vector<std::string_view>& candidates) {
  if (written.empty() || written.size() > kLongest) return {};
  const std::string word = folded(written);
  std::string_view best;
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (const std::string_view candidate : candidates) {
    const std::string other = folded(candidate);
    std::size_t n = slips(word, other);
    const bool shortened = word.size() >= kShortest && other.starts_with(word);
    if (shortened || other.starts_with(word + "_") || word.starts_with(other + "_")) n = std::min<std::size_t>(n, 1);
    const std::size_t allowed = std::max<std::size_t>(1, std::min<std::size_t>(word.size(), other.size()) / 3);
    if (n <= allowed && n < least) {
      least = n;
      best = candidate;
    }
  }
  return std::string(best);
}

}  // namespace ratchet
