#include "levels/0_baseline/connection_census.hpp"

#include <rapidcheck.h>

#include <array>
#include <list>
#include <map>
#include <string>

#include "tests/support/catch.hpp"

using ratchet::http::ConnectionCensus;
using Seat = ConnectionCensus::Seat;

TEST_CASE("census: the longest idle of the address that holds most goes first") {
  ConnectionCensus census;
  std::array<Seat, 5> seats;
  census.enter(seats[0], "192.0.2.1");
  for (std::size_t i = 1; i < 4; ++i)
    census.enter(seats[i], "192.0.2.2");
  census.enter(seats[4], "");
  CHECK(census.size() == 5);
  CHECK(census.held_by("192.0.2.2") == 3);
  CHECK(census.held_by("192.0.2.3") == 0);
  CHECK(census.held_by("") == 1);
  CHECK(census.least_needed() == nullptr);

  census.becomes_idle(seats[0]);
  CHECK(census.least_needed() == &seats[0]);  // who holds more has none that is idle
  census.becomes_idle(seats[3]);
  census.becomes_idle(seats[1]);
  CHECK(census.least_needed() == &seats[3]);
  census.becomes_idle(seats[3]);  // was used meanwhile
  CHECK(census.least_needed() == &seats[1]);
  census.leave(seats[1]);
  CHECK(census.least_needed() == &seats[3]);
  census.becomes_active(seats[3]);
  CHECK(census.least_needed() == &seats[0]);
  for (Seat& seat : seats)
    census.leave(seat);
  CHECK(census.size() == 0);
  CHECK(census.least_needed() == nullptr);
}

TEST_CASE("census: an IPv6 network of 64 bits is one address, an IPv4 address in IPv6 is that address") {
  ConnectionCensus census;
  std::array<Seat, 4> seats;
  census.enter(seats[0], "2001:db8::1");
  census.enter(seats[1], "2001:db8::ffff:2");
  census.enter(seats[2], "2001:db8:0:1::1");
  census.enter(seats[3], "::ffff:192.0.2.1");
  CHECK(census.held_by("2001:db8::77") == 2);
  CHECK(census.held_by("2001:db8:0:1::9") == 1);
  CHECK(census.held_by("192.0.2.1") == 1);
  CHECK(census.held_by("192.0.2.2") == 0);
  for (Seat& seat : seats)
    census.leave(seat);
}

TEST_CASE("census: agrees with a plain model under any sequence of steps") {
  CHECK(rc::check([] {
    constexpr std::size_t kSeats = 24;
    ConnectionCensus census;
    std::array<Seat, kSeats> seats;
    std::array<int, kSeats> home;  // address of the seat; -1: not here
    home.fill(-1);
    std::list<std::size_t> idle;  // longest first
    const int steps = *rc::gen::inRange(0, 200);
    for (int step = 0; step < steps; ++step) {
      const auto at = *rc::gen::inRange<std::size_t>(0, kSeats);
      switch (*rc::gen::inRange(0, 4)) {
        case 0:
          if (home[at] < 0) {
            home[at] = *rc::gen::inRange(0, 5);
            census.enter(seats[at], "192.0.2." + std::to_string(home[at]));
          }
          break;
        case 1:
          census.leave(seats[at]);
          home[at] = -1;
          idle.remove(at);
          break;
        case 2:
          census.becomes_idle(seats[at]);
          idle.remove(at);
          if (home[at] >= 0) idle.push_back(at);
          break;
        default:
          census.becomes_active(seats[at]);
          idle.remove(at);
      }
      std::map<int, std::size_t> held;
      for (const int one : home)
        if (one >= 0) ++held[one];
      std::size_t most = 0, all = 0;
      for (const auto& [one, count] : held) {
        all += count;
        RC_ASSERT(census.held_by("192.0.2." + std::to_string(one)) == count);
      }
      for (const std::size_t i : idle)
        most = std::max(most, held[home[i]]);
      RC_ASSERT(census.size() == all);
      const Seat* const found = census.least_needed();
      RC_ASSERT((found == nullptr) == idle.empty());
      if (found == nullptr) continue;
      const auto number = static_cast<std::size_t>(found - seats.data());
      RC_ASSERT(held[home[number]] == most);
      for (const std::size_t i : idle) {  // nobody of that address has been idle for longer
        if (home[i] != home[number]) continue;
        RC_ASSERT(i == number);
        break;
      }
    }
    for (Seat& seat : seats)
      census.leave(seat);
  }));
}
