// Who asks /ready, and what the load balancers among them say: what a drain goes by. Pure: any time is an argument.
//
//   node   a balancer's (node, name) whose word is heard (balancer_words.hpp): it says when it sends no more. At most
//   64 asker  an address that asks for itself; only how often it asks counts. At most 64 that are listed as balancers,
//   and
//          64 that are not: strangers displace nobody that is listed, and passers-by no prober
//
// What a node says, and that an asker is there, is believed for 3 of its own intervals, at least 2 s. An asker is a
// prober, one that a drain waits for, if it sends a balancer's word, heard or not; if it has asked six times, never
// silent for longer than it is believed; or if it asks again while we drain. Anybody else passes by (a person's curl):
// while level 3 is young that is not known yet, and it counts like a prober. Later it is left alone, but for the 3 s in
// which a balancer that was started just now would ask again.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "levels/core/clock.hpp"

namespace ratchet {

// One x-haproxy-server-state header: "UP 2/3; name=be/srv; node=lb1; weight=1/2; scur=13/22; qcur=0".
struct HaproxyState {
  std::string key;       // "lb1 be/srv": one node
  bool stopped = false;  // NOLB, DOWN, or weight 0: it sends no new requests
  bool idle = false;     // scur=0: none of its connections to us is in use
};
std::optional<HaproxyState> parse_haproxy_state(std::string_view header);  // empty: no node and name in it

class Probers {
 public:
  static constexpr std::size_t kMost = 64;

  void heard(const HaproxyState& word, TimePoint now);
  // `from`: its address. `speaks`: it sent a word, which is not heard.
  void asked(std::string_view from, bool listed, bool speaks, TimePoint now);
  // A node was told by other means that we leave, and nothing of it is under way any more.
  void is_done(const std::string& key, TimePoint now);
  // From now on our answers say no. What a node said before may be undone by that very answer (DOWN, answered 200: UP),
  // so only what is said from now on counts.
  void drains(TimePoint now);
  void drains_no_more() noexcept { draining_since_.reset(); }

  struct View {
    std::size_t nodes = 0;     // that spoke and are believed
    bool all_stopped = false;  // each of them said NOLB or DOWN (or weight 0) ...
    bool all_idle = false;     // ... with scur=0
    std::string waits_for;     // a node that did not; empty: none
    std::optional<TimePoint> last_probe;
    std::optional<Duration> interval;      // the longest between two probes of one prober, of the last minute
    std::string slowest;                   // whose that is
    std::optional<TimePoint> doubt_until;  // a passer-by may still turn out to be a balancer
  };
  // `settled`: level 3 is old enough that a balancer would be known by now.
  View look(TimePoint now, bool settled) const;

 private:
  struct Seen {
    bool speaks = false;
    bool stopped = false;
    bool idle = false;
    unsigned row = 1;  // asked so often, never silent for longer than it is believed; at most kRegular
    TimePoint row_since{};
    TimePoint at{};
    std::optional<Duration> interval;
    bool is_live(TimePoint now) const noexcept;
    void asks_again(TimePoint now);
  };
  using Table = std::map<std::string, Seen, std::less<>>;

  static Seen* find_or_add(Table& table, std::string_view key, TimePoint now, bool displaces);
  bool is_prober(const Seen& asker, TimePoint now) const noexcept;
  void look_at_nodes(View& view, TimePoint now) const;
  void look_at_asker(View& view, const std::string& from, const Seen& asker, TimePoint now, bool settled) const;

  Table nodes_, listed_, strangers_;
  std::optional<TimePoint> too_many_at_;  // when a node could not be remembered: then not all have spoken
  std::optional<TimePoint> draining_since_;
};

}  // namespace ratchet
