// Replays tests/scenarios/*.txt: what is told to the ladder, a line of dashes, what it answers. A reviewer checks
// the promise without reading C++. Lines starting with # are comments.
//
//   boot                first decision         raised N, failed N [rest], lowered N [rest]   how the work ended
//   fault N [late]      of the latest incarnation of level N, or of the one before
//   hold N, release, stop, wake                advance 100 ms                                time passes
//
// RATCHET_REWRITE=1 writes down what it answers now; the difference is then reviewed.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/levels/core/ladder_walk.hpp"
#include "tests/support/catch.hpp"

namespace {

using namespace ratchet;
using namespace ratchet::ladder;
using std::chrono::milliseconds;

class Player {
 public:
  // The actions, one per line.
  std::string play(const std::string& line) {
    std::istringstream in(line);
    std::string verb;
    in >> verb;
    if (verb == "boot") return take(begin(now_));
    if (verb == "advance") {
      now_ += duration(in);
      return {};
    }
    return take(step(state_, event(verb, in), now_));
  }

  std::string state() const { return tests::to_text(state_, now_); }

 private:
  static Duration duration(std::istream& in) {
    int count = 0;
    std::string unit;
    if (!(in >> count)) return Duration::zero();
    in >> unit;
    if (unit != "ms") throw std::runtime_error("a duration is a number of ms, not of " + unit);
    return milliseconds(count);
  }

  static int number(std::istream& in) {
    int n = -1;
    in >> n;
    if (n < 0 || n > kTopLevel) throw std::runtime_error("a level is 0 to 3");
    return n;
  }

  Incarnation latest(int level) const { return state_.incarnation[static_cast<std::size_t>(level)]; }

  Event event(const std::string& verb, std::istream& in) const {
    if (verb == "wake") return Wake{};
    if (verb == "stop") return Stop{};
    if (verb == "release") return Ceiling{kTopLevel};
    const int n = number(in);
    if (verb == "hold") return Ceiling{n};
    if (verb == "raised") return Raised{n, latest(n)};
    if (verb == "failed") return RaiseFailed{n, latest(n), duration(in)};
    if (verb == "lowered") return Lowered{n, duration(in)};
    if (verb != "fault") throw std::runtime_error("no such command: " + verb);
    std::string late;
    in >> late;
    return FaultSeen{n, latest(n) - (late == "late" ? 1 : 0)};
  }

  std::string take(const Next& next) {
    state_ = next.state;
    std::string out;
    for (const Action& action : next.actions)
      out += tests::to_text(action, now_) + "\n";
    return out;
  }

  State state_;
  TimePoint now_{std::chrono::hours(1)};
};

// The file again, with what the ladder answers now in place of what was expected.
std::string replay(const std::string& script) {
  std::istringstream in(script);
  std::string out, actions;
  Player player;
  bool expected = false;
  for (std::string line; std::getline(in, line);) {
    if (line == "----") {
      out += line + "\n" + actions + player.state() + "\n";
      actions.clear();
      expected = true;
    } else if (line.empty() || line[0] == '#') {
      out += line + "\n";
      if (line.empty()) expected = false;
    } else if (!expected) {
      actions += player.play(line);
      out += line + "\n";
    }
  }
  return out;
}

std::vector<std::filesystem::path> scripts() {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(RATCHET_SCENARIOS))
    if (entry.path().extension() == ".txt") out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

std::string content(const std::filesystem::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

}  // namespace

TEST_CASE("ladder scenarios: every script is answered as written down") {
  const char* rewrite = std::getenv("RATCHET_REWRITE");
  CHECK(scripts().size() >= 10);
  for (const auto& path : scripts()) {
    INFO(path.string());
    const std::string script = content(path);
    const std::string replayed = replay(script);
    if (rewrite && std::string(rewrite) == "1")
      std::ofstream(path) << replayed;
    else
      CHECK(replayed == script);
  }
}

TEST_CASE("ladder scenarios: a wrong expectation is noticed") {
  const std::string script = "boot\n----\nraise 1 #1\nheld 0, goal 3, raising 1 #1\n";
  CHECK(replay(script) == script);
  const std::string wrong = "boot\n----\nraise 2 #1\nheld 0, goal 3, raising 1 #1\n";
  CHECK(replay(wrong) != wrong);
}
