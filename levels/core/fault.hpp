// What went wrong in the environment, as a value. A fault names its level and the incarnation (number of the
// raise) it was seen in, so that a late report about something already thrown away is recognised and ignored.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "levels/core/clock.hpp"

namespace ratchet {

using Incarnation = std::uint64_t;  // 0: none; the first raise of a level is 1

enum class FaultKind : std::uint8_t {
  refused,               // nobody listens there
  timed_out,             // no answer in time: frozen, cut off, overloaded
  name_resolution,       // DNS
  tls,                   // handshake or certificate
  authentication,        // wrong password, no such user, no such database
  authorisation,         // connected, but the right is missing
  schema_missing,        // `ratchetd migrate` has not been run
  schema_older,          // the schema is older than this program reads
  schema_newer,          // the schema is newer than this program reads
  read_only,             // a standby, or a primary after failover
  too_many_connections,  // SQLSTATE 53300
  too_few_connections,   // some are to be had, but fewer than are needed
  pooler,                // between us and the server: the session is not ours from one transaction to the next
  wrong_setting,         // one of the server's that we need otherwise and may not set
  connection_lost,       // was there, is gone
  disk_full,             // SQLSTATE 53100
  standby_away,          // commits wait for a synchronous standby
  disk_stuck,            // the server waits for its disk
  locked,                // a lock that another session holds
  topic_missing,         // a required topic does not exist
  not_enough_replicas,   // a partition without a leader, or the broker will not take acks=all
  leader_unreachable,    // a partition's leader does not answer where it says it is, while another broker does
  broker_fatal,          // librdkafka's FATAL: the producer must be made anew
  address_in_use,        // the port is taken
  out_of_files,          // EMFILE, ENFILE, ENOBUFS
  service_errors,        // level 3's own error budget is spent
  cancelled,             // we stopped waiting ourselves (stop, or a fault below)
  unknown,               // counted, never ignored
};

// The word used in logs, /levels, metrics ("timed_out").
std::string_view to_string(FaultKind kind) noexcept;

// True where only a person can mend it (wrong password, missing right, schema or topic): the next attempt goes
// straight to the backoff's cap instead of hammering.
bool needs_a_person(FaultKind kind) noexcept;

// True where asking is cheap for the other side and what hinders us ends in a moment when it ends: the next attempt
// follows after a short rest, however many there were.
bool ends_at_once(FaultKind kind) noexcept;

struct Fault {
  int level = 0;                 // 1..3
  Incarnation incarnation = 0;   // the raise it belongs to; 0 only where no raise is under way
  FaultKind kind = FaultKind::unknown;
  std::string text;              // one line for people: "database main: connection refused (127.0.0.1:5432)"
  TimePoint since{};             // first seen
};

// Where faults are reported from any thread. Never blocks, never throws, keeps the first of each incarnation.
class FaultSink {
 public:
  virtual ~FaultSink() = default;
  virtual void report(const Fault& fault) noexcept = 0;
};

}  // namespace ratchet
