#include "levels/1_database/blame.hpp"

#include "levels/1_database/commit_stall.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::db;

namespace {

Blame of(std::string state, std::string context) {
  return blame({SqlError::Kind::said, std::move(state), "x", std::move(context)});
}

const std::string kOurs = "SQL statement \"insert into ratchet.outbox (slot, topic, key, headers, payload)";
const std::string kTrigger = "PL/pgSQL function public.audit() line 3 at RAISE";

}  // namespace

TEST_CASE("blame: a key in flight is told from a lock on the table, in any language") {
  CHECK(of("55P03", "while inserting index tuple (0,5) in relation \"idem_0\"") == Blame::key_in_flight);
  CHECK(of("55P03", "beim Einfügen von Indextupel (12,345) in Relation »idem_2«") == Blame::key_in_flight);
  CHECK(of("55P03", "lors de l'insertion de l'enregistrement (0,1) de l'index dans la relation « idem_1 »") ==
        Blame::key_in_flight);
  CHECK(of("55P03", kOurs) == Blame::server);
  CHECK(of("55P03", "SQL statement \"insert into ratchet.idem_0 as x (bucket, k) values (1,2)") == Blame::server);
  CHECK(of("55P03", "PL/pgSQL function ratchet.append(uuid[],bytea[]) line 5 at SQL statement") == Blame::server);
  CHECK(of("55P03", "") == Blame::server);
  CHECK(of("55P03", "while updating tuple (0,7) in relation \"counters\"") == Blame::row);
  CHECK(of("55P03", "while locking tuple (,7) in relation \"idem_0\"") != Blame::key_in_flight);
  CHECK(of("55P03", "while locking tuple (0,7 in relation \"idem_0\"") != Blame::key_in_flight);
}

TEST_CASE("blame: what ends sessions is believed of none of the errors that do not") {
  for (const char* state : {"08000", "08006", "28P01", "3D000", "40003", "57P01", "57P02", "57P03", "57P04", "57P05"}) {
    INFO(state);
    CHECK(of(state, kTrigger) == Blame::row);
    CHECK(of(state, kOurs) == Blame::row);
    const SqlError said{SqlError::Kind::said, state, "x", kTrigger};
    CHECK_FALSE(server_is_gone(said));
    CHECK(fault_kind(said) == FaultKind::unknown);
    CHECK(kind_word(said) == "statement");
    CHECK(fault_kind({SqlError::Kind::lost, state, "x"}) != FaultKind::unknown);
  }
  for (const char* state : {"57P02", "57P03", "57P04"})
    CHECK(server_is_gone({SqlError::Kind::lost, state, "x"}));
  CHECK_FALSE(server_is_gone({SqlError::Kind::lost, "57P01", "x"}));
  CHECK_FALSE(server_is_gone({SqlError::Kind::said, "25006", "x", kTrigger}));
  CHECK_FALSE(server_is_gone({SqlError::Kind::said, "25006", "x", kOurs}));  // the next probe asks
  CHECK(server_is_gone({SqlError::Kind::said, "25006", "x", ""}));
  CHECK(session_is_swapped({SqlError::Kind::said, "26000", "x", ""}));
  CHECK_FALSE(session_is_swapped({SqlError::Kind::said, "26000", "x", kOurs}));
  CHECK_FALSE(is_ours({SqlError::Kind::said, "42501", "x", "PL/pgSQL function myratchet.audit() line 1 at RAISE"}));
}

TEST_CASE("blame: our own statement is asked again where its rights, its tables or its session may be gone") {
  for (const char* state : {"26000", "42501", "42883", "3F000", "42P01", "0A000", "25006", "55000", "XX000"}) {
    INFO(state);
    CHECK(of(state, "") == Blame::unclear);
    CHECK(of(state, kOurs) == Blame::unclear);
    CHECK(of(state, kTrigger) == Blame::row);
  }
  for (const char* state : {"22001", "23505", "23514", "P0001"}) {
    CHECK(of(state, "") == Blame::row);
    CHECK(of(state, kOurs) == Blame::row);
  }
  CHECK(of("40001", kOurs) == Blame::race);
  CHECK(of("40P01", "") == Blame::race);
  for (const char* state : {"53100", "53200", "57014", "58030"}) {
    CHECK(of(state, kOurs) == Blame::server);
    CHECK(of(state, kTrigger) == Blame::row);
    CHECK(may_pass_by_itself({SqlError::Kind::said, state, "x", kTrigger}));
  }
}

TEST_CASE("stall: only when everything failed for ten seconds, and not for what senders send") {
  const TimePoint start{};
  const SqlError locked{SqlError::Kind::said, "55P03", "lock", kOurs};
  CommitStall stall;
  CHECK_FALSE(stall.stored());
  CHECK_FALSE(stall.failed(locked, start));
  CHECK_FALSE(stall.failed(locked, start + CommitStall::kLong - milliseconds(1)));
  CHECK(stall.failed(locked, start + CommitStall::kLong));
  CHECK(stall.stored());
  CHECK_FALSE(stall.stored());
  CHECK_FALSE(stall.failed(locked, start + 2 * CommitStall::kLong));

  CommitStall senders;
  for (const SqlError& error :
       {SqlError{SqlError::Kind::said, "22001", "x", kOurs}, SqlError{SqlError::Kind::said, "23505", "x", kTrigger},
        SqlError{SqlError::Kind::said, "55P03", "x", "tuple (0,1) in relation \"idem_0\""},
        SqlError{SqlError::Kind::lost, "", "x"}}) {
    CHECK_FALSE(senders.failed(error, start));
    CHECK_FALSE(senders.failed(error, start + 2 * CommitStall::kLong));
  }
}
