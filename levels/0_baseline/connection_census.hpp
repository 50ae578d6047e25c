// Who holds how many connections, and whose are idle: what the reactor must know when it has as many as it may have.
// Each step is constant time but for finding an address among those that are here (a tree) and, at the limit, looking
// for the address that holds most (one pass over an array as long as the most that any address ever held). Memory:
// one entry per address that is here. One thread.
//
// An IPv6 client has a whole /64 to choose its addresses from, so that network is one address here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "config/network.hpp"

namespace ratchet::http {

class ConnectionCensus {
  struct Address;

 public:
  // Lives inside a connection, at a fixed place.
  struct Seat {
    Seat() = default;
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

    std::uint32_t owner = 0;  // for whoever finds the seat
    bool taken() const noexcept { return address != nullptr; }

   private:
    friend class ConnectionCensus;
    Address* address = nullptr;
    Seat* before = nullptr;  // of the idle ones of this address
    Seat* after = nullptr;
    bool idle = false;
  };

  ConnectionCensus() = default;
  ConnectionCensus(const ConnectionCensus&) = delete;
  ConnectionCensus& operator=(const ConnectionCensus&) = delete;

  // `address`: numeric; empty: through a unix socket, all of which count as one. Not idle yet.
  void enter(Seat& seat, std::string_view address);
  void leave(Seat& seat) noexcept;         // nothing if it is not taken
  void becomes_idle(Seat& seat) noexcept;  // from now on, also if it was idle before; nothing if it is not taken
  void becomes_active(Seat& seat) noexcept;

  std::size_t size() const noexcept { return size_; }  // seats that are taken
  std::size_t held_by(std::string_view address) const;
  // The longest idle of the address that holds most, of those that have an idle one; null when nobody is idle.
  Seat* least_needed() noexcept;

 private:
  using Key = AddressBytes;
  struct Address {
    std::map<Key, Address>::iterator self{};
    std::size_t held = 0;
    Seat* first_idle = nullptr;
    Seat* last_idle = nullptr;
    Address* before = nullptr;  // of those that hold as many, and have an idle one
    Address* after = nullptr;
  };
  static Key key_of(std::string_view address) noexcept;
  static void unlink(Seat& seat) noexcept;
  void list(Address& address) noexcept;
  void unlist(Address& address) noexcept;

  std::map<Key, Address> addresses_;
  std::vector<Address*> by_held_;  // [n]: those that hold n and have an idle one
  std::size_t most_ = 0;           // nothing stands beyond it in by_held_
  std::size_t size_ = 0;
};

}  // namespace ratchet::http
