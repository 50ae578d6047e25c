// Chunked bodies: taken in any pieces, refused in every shape that two readers could read differently.
#include "levels/0_baseline/http_chunked.hpp"

#include <rapidcheck.h>

#include <string>
#include <vector>

#include "tests/support/catch.hpp"

using namespace ratchet::http;

namespace {

struct Outcome {
  Scan verdict = Scan::incomplete;
  int status = 0;
  std::size_t used = 0;
  std::string body;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// `pieces`: where the input is cut; each piece is a copy of its own, so that a look past its end is seen.
Outcome read(std::string_view input, const std::vector<std::size_t>& cuts = {}, std::size_t most = 100) {
  ChunkedReader reader(most);
  Outcome outcome;
  Refusal refusal;
  std::size_t begin = 0;
  std::vector<std::size_t> ends = cuts;
  ends.push_back(input.size());
  for (const std::size_t end : ends) {
    const std::vector<char> piece(input.begin() + static_cast<std::ptrdiff_t>(begin),
                                  input.begin() + static_cast<std::ptrdiff_t>(end));
    std::size_t used = 0;
    outcome.verdict = reader.read({piece.data(), piece.size()}, used, outcome.body, refusal);
    outcome.used += used;
    begin = end;
    if (outcome.verdict != Scan::incomplete) break;
  }
  outcome.status = refusal.status;
  return outcome;
}

const std::vector<std::string> kWhole{
    "0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    "0000000000000005\r\nhello\r\n000\r\n\r\n",
    "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "5;name\r\nhello\r\n0;last=\"a b\"\r\n\r\n",
    "2\r\n\r\n\r\n0\r\n\r\n",
    "3\r\n0\r\n\r\n0\r\nX-Sum: abc\r\nX-Other:\r\n\r\n",
};

}  // namespace

TEST_CASE("http chunked: the bytes of the chunks are the body, and what follows is left alone") {
  CHECK(read("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /").body == "hello world");
  CHECK(read("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /").used == 26);
  CHECK(read("2\r\n\r\n\r\n0\r\n\r\n").body == "\r\n");
  for (const std::string& whole : kWhole) {
    INFO(whole);
    const Outcome outcome = read(whole + "0\r\n\r\n");
    CHECK(outcome.verdict == Scan::complete);
    CHECK(outcome.used == whole.size());
  }
}

TEST_CASE("http chunked: every shape that could be read in two ways is refused") {
  using namespace std::string_literals;
  for (const std::string& bad : {
           "\r\n0\r\n\r\n"s,  // no size
           ";a\r\n\r\n"s,     // an extension of nothing
           "-1\r\n"s,
           "+5\r\nhello\r\n"s,
           "0x5\r\nhello\r\n"s,
           " 5\r\nhello\r\n"s,
           "5 \r\nhello\r\n"s,
           "5\t\r\n"s,
           "5 ;a\r\n"s,
           "g\r\n"s,
           "5_0\r\n"s,
           "5,5\r\n"s,
           "5.0\r\n"s,
           "00000000000000005\r\nhello\r\n"s,  // 17 digits
           "5\nhello\r\n0\r\n\r\n"s,
           "5\rhello"s,
           "5\r\rhello"s,
           "5\r\nhello\n0\r\n\r\n"s,
           "5\r\nhello0\r\n\r\n"s,
           "5\r\nhello!\r\n0\r\n\r\n"s,  // longer than said
           "5\r\nhell\r\n0\r\n\r\n"s,    // shorter than said
           "5;a\nhello\r\n"s,
           "5;a\rb\r\n"s,
           "5;a\0b\r\n"s,
           "5;a\x7f\r\n"s,
           "0\r\n\n"s,
           "0\n\r\n"s,
           "0\r\n\rX"s,
           "0\r\nX\r\n\r\n"s,
           "0\r\nX : a\r\n\r\n"s,
           "0\r\n: a\r\n\r\n"s,
           "0\r\nX: a\n\r\n"s,
           "0\r\nX: a\0\r\n\r\n"s,
           "0\r\nX: a\r\n b\r\n\r\n"s,
           "0\r\nGET / HTTP/1.1\r\n\r\n"s,
       }) {
    INFO(bad);
    const Outcome outcome = read(bad);
    CHECK(outcome.verdict == Scan::refused);
    CHECK(outcome.status == 400);
  }
}

TEST_CASE("http chunked: the decoded body is bounded, and a chunk that would pass the bound is not waited for") {
  CHECK(read("64\r\n" + std::string(100, 'a') + "\r\n0\r\n\r\n").verdict == Scan::complete);
  for (const std::string& large : {std::string("65\r"), "64\r\n" + std::string(100, 'a') + "\r\n1\r",
                                   std::string("ffffffffffffffff\r"), std::string("8000000000000000;")}) {
    const Outcome outcome = read(large);
    CHECK(outcome.verdict == Scan::refused);
    CHECK(outcome.status == 413);
  }
  // Sizes that would add up to a small number.
  CHECK(read("60\r\n" + std::string(96, 'a') + "\r\nffffffffffffffa1\r\n").status == 413);
}

TEST_CASE("http chunked: extensions and trailers are bounded together") {
  const std::size_t most = ChunkedReader::kMostExtras;
  CHECK(read("0;" + std::string(most - 2, 'a') + "\r\n\r\n").verdict == Scan::complete);
  CHECK(read("0;" + std::string(most - 1, 'a') + "\r\n\r\n").status == 400);
  CHECK(read("0\r\nX:" + std::string(most - 4, 'a') + "\r\n\r\n").verdict == Scan::complete);
  CHECK(read("0\r\nX:" + std::string(most - 3, 'a') + "\r\n\r\n").status == 400);
  std::string many;
  for (std::size_t i = 0; i < most; ++i)
    many += "1;\r\na\r\n";
  CHECK(read(many, {}, 1'000'000).status == 400);
}

TEST_CASE("http chunked: the verdict and the bytes do not depend on how the body was cut") {
  for (const std::string& whole : kWhole) {
    const Outcome expected = read(whole);
    std::vector<std::size_t> everywhere;
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
      CHECK(read(whole, {cut}) == expected);
      CHECK(read(std::string_view(whole).substr(0, cut)).verdict == Scan::incomplete);
      everywhere.push_back(cut);
    }
    CHECK(read(whole, everywhere) == expected);
  }
  CHECK(rc::check("any bytes in any pieces", [] {
    const auto input =
        *rc::gen::container<std::string>(rc::gen::element('0', '1', '5', 'a', ';', ':', '\r', '\n', ' ', 'x'));
    const auto cut = *rc::gen::inRange<std::size_t>(0, input.size() + 1);
    RC_ASSERT(read(input, {cut}) == read(input));
  }));
}
