// Leaving without a failed request: the stages of DESIGN 7, in that order, each with its cap, each reporting how
// long it took and what ended it.
//
//   stage       drain (asked)                                           fall (by fault)
//   ----------  ------------------------------------------------------  -----------------------------------------
//   announce    /ready says no; every answer says Connection: close     the same
//   refuse                                                              300 ms: whoever comes is told 503
//   balancer    until the balancers have stopped sending; <= 15 s
//   close port  no handshake is lost                                    the same
//   late        idle connections may still bring a request; <= late_ms
//   requests    until nothing is open; then the rest is cut             until the committer has told all outcomes
//
// Why idle connections are read for a while after the port is closed: a client may have sent a request at the moment
// we decide to hang up. It is answered, with Connection: close, and only who stays silent is hung up on, lingering.
//
// Each stage may take its own cap, but never what later ones need: `total` less late, requests, flush and 2 s. Losing
// patience (a second SIGTERM, a fault further down) ends every wait at once; what is not answered then is cut.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levels/0_baseline/health.hpp"
#include "levels/0_baseline/reactor.hpp"
#include "levels/3_service/registrars.hpp"
#include "levels/core/level.hpp"

namespace ratchet::service {

struct StageReport {
  std::string_view stage;  // "announce", "refuse", "balancer", "close port", "leave port", "finish", "late", "requests"
  Duration took;
  std::string ended_by;
};

struct DrainReport {
  std::vector<StageReport> stages;
  std::uint64_t late_requests = 0;  // read after the port was closed
  std::uint64_t cut_requests = 0;
  std::string cut_by_route;             // empty: none
  std::vector<std::string> registrars;  // what became of each: "consul: left after 12 ms"
};
// "announce 0 ms (done), balancer 1360 ms (2 nodes stopped and idle), ..., late=1 cut=0"
std::string to_string(const DrainReport& report);

// Requests that wait for their commit, as the way out needs to know them. Their answers come from whoever deferred
// them.
struct Waiters {
  std::function<bool()> can_commit = [] { return true; };  // false: the database is gone, waiting is in vain
  std::function<void()> give_up_queued = [] {};            // who is not begun: nothing-stored
  std::function<void()> give_up_all = [] {};               // whoever still waits is told what is known
  std::function<void()> closing_port = [] {};              // before it is closed: nobody else may hold the socket on
  std::function<std::string()> cut_by_route = [] { return std::string(); };  // "/events/orders 2, other 1"
  // A wait that takes longer than a moment is told once: for what, and how long at most from now.
  std::function<void(const std::string&, Duration)> tell = [](const std::string&, Duration) {};
};

// Worker thread of level 3. Afterwards the reactor's port is closed and no connection is open. `open_since`: of the
// port; nothing: not known. That nobody probes is known only once a balancer would have: one that has just been started
// already sends requests, and asks for the first time a whole interval later. So is who asks but is no balancer: only
// once the port has been open for 60 s, passers-by are left alone (probers.hpp).
DrainReport drain(http::Reactor& reactor, Health& health, const DrainSettings& settings, const TimeSource& time,
                  Patience& patience, const Waiters& waiters = {}, Registrars* registrars = nullptr,
                  std::optional<TimePoint> open_since = std::nullopt);
// The restart: nobody is told, the port stays open in a successor's hands. Only what has been accepted is finished:
// late requests on idle connections are answered with Connection: close for at most 200 ms. `left`: called once the
// reactor has let go of the port. Nothing of the balancers' or registrars' business happens here.
DrainReport hand_over(http::Reactor& reactor, Health& health, const DrainSettings& settings, const TimeSource& time,
                      Patience& patience, const Waiters& waiters, const std::function<void()>& left);
// The fall by fault: at most 3 s in all. `answer`: the bytes every new request gets. What waits for a commit has 2 s to
// finish while the database still commits; else, and then, what is not begun is given up.
DrainReport fall(http::Reactor& reactor, Health& health, std::string answer, const TimeSource& time, Patience& patience,
                 const Waiters& waiters = {}, Registrars* registrars = nullptr);

}  // namespace ratchet::service
