// What a failed delivery means, one table: try the same record again, put it aside, or give up the connection.
#pragma once

#include <cstdint>

#include "levels/core/fault.hpp"

namespace ratchet::kafka {

enum class Verdict : std::uint8_t {
  acknowledged,
  retry,   // transient: the window is read and produced again; uses up no attempt
  poison,  // this record will never be taken (too large, not valid): to the dead letters at once
  outage,  // the broker or our right to it is gone: level fault
};

// `code`: librdkafka's rd_kafka_resp_err_t as an int. The defaults for a code that is not in the table: a delivery is
// tried again (nothing is lost, and an endless failure shows as the age of the oldest record); of a connection it is a
// fault of kind unknown. Both are counted in ratchet_broker_unknown_codes_total.
Verdict verdict(int code) noexcept;
bool is_known(int code) noexcept;

// True for records that we took back ourselves: nothing is wrong with them.
bool is_purge(int code) noexcept;

// True for codes that speak of one topic only (it does not exist, we may not write to it). On a topic that no route
// requires they are the record's own fault, not the broker's: an event sent to a misspelt topic must not take the
// service down.
bool is_about_topic(int code) noexcept;

// True for codes that say that a record or its batch is larger than the topic takes.
bool is_about_size(int code) noexcept;

// The kind of fault an error of the connection or of a delivery stands for.
FaultKind fault_kind(int code) noexcept;

}  // namespace ratchet::kafka
