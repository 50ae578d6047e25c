#include "levels/1_database/pooler.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet::db;

TEST_CASE("pooler: sessions of our own prove nothing, with or without one between") {
  PoolerCheck direct;
  direct.saw(0, 100, 100);
  direct.saw(1, 101, 101);
  direct.saw(2, 100, 100);  // of another server
  CHECK_FALSE(direct.suspected());
  CHECK_FALSE(direct.proof());

  PoolerCheck session_mode;
  for (int round = 0; round < 3; ++round) {
    session_mode.saw(0, -7, 100);
    session_mode.saw(1, -8, 101);
  }
  CHECK(session_mode.suspected());
  CHECK_FALSE(session_mode.proof());
}

TEST_CASE("pooler: two connections on one backend are proof, and one connection on two") {
  PoolerCheck shared;
  shared.saw(0, -7, 100);
  shared.saw(1, -8, 100);
  REQUIRE(shared.proof());
  CHECK(shared.proof()->find("two connections shared the backend 100") != std::string::npos);

  PoolerCheck moved;
  moved.saw(0, -7, 100);
  moved.saw(0, -7, 101);
  REQUIRE(moved.proof());
  CHECK(moved.proof()->find("the backends 100 and 101") != std::string::npos);

  PoolerCheck forwarded;  // one that hands on the server's own number, as long as it is true
  forwarded.saw(0, 100, 100);
  forwarded.saw(1, 101, 100);
  forwarded.saw(0, 100, 101);
  CHECK(forwarded.suspected());
  forwarded.saw(0, 100, 102);
  CHECK(forwarded.proof());
}
