#include "levels/2_broker/verdict.hpp"

#include <array>
#include <utility>

namespace ratchet::kafka {
namespace {

struct Row {
  int code;
  Verdict verdict;
};

// Sorted by code. Negative: librdkafka's own; positive: the broker's, as the Kafka protocol numbers them.
constexpr std::array kTable = {
    Row{-197, Verdict::retry},   // _DESTROY: we are closing
    Row{-195, Verdict::retry},   // _TRANSPORT
    Row{-194, Verdict::outage},  // _CRIT_SYS_RESOURCE
    Row{-193, Verdict::retry},   // _RESOLVE
    Row{-192, Verdict::retry},   // _MSG_TIMED_OUT
    Row{-190, Verdict::outage},  // _UNKNOWN_PARTITION
    Row{-188, Verdict::outage},  // _UNKNOWN_TOPIC
    Row{-187, Verdict::retry},   // _ALL_BROKERS_DOWN: says too much too early; the probe decides
    Row{-186, Verdict::poison},  // _INVALID_ARG
    Row{-185, Verdict::retry},   // _TIMED_OUT
    Row{-184, Verdict::retry},   // _QUEUE_FULL
    Row{-183, Verdict::retry},   // _ISR_INSUFF
    Row{-181, Verdict::outage},  // _SSL
    Row{-172, Verdict::retry},   // _STATE
    Row{-169, Verdict::outage},  // _AUTHENTICATION
    Row{-166, Verdict::retry},   // _TIMED_OUT_QUEUE
    Row{-165, Verdict::outage},  // _UNSUPPORTED_FEATURE
    Row{-153, Verdict::retry},   // _RETRY
    Row{-152, Verdict::retry},   // _PURGE_QUEUE: we took it back
    Row{-151, Verdict::retry},   // _PURGE_INFLIGHT: likewise; perhaps written
    Row{-150, Verdict::outage},  // _FATAL
    Row{-148, Verdict::outage},  // _GAPLESS_GUARANTEE
    Row{-144, Verdict::outage},  // _FENCED
    Row{-1, Verdict::retry},     // UNKNOWN: the broker's own unexpected error
    Row{0, Verdict::acknowledged}, Row{2, Verdict::retry},  // CORRUPT_MESSAGE: damaged on the way
    Row{3, Verdict::outage},                                // UNKNOWN_TOPIC_OR_PART
    Row{4, Verdict::poison},                                // INVALID_FETCH_SIZE, here: INVALID_MSG_SIZE
    Row{5, Verdict::retry},                                 // LEADER_NOT_AVAILABLE
    Row{6, Verdict::retry},                                 // NOT_LEADER_FOR_PARTITION
    Row{7, Verdict::retry},                                 // REQUEST_TIMED_OUT
    Row{8, Verdict::retry},                                 // BROKER_NOT_AVAILABLE
    Row{9, Verdict::retry},                                 // REPLICA_NOT_AVAILABLE
    Row{10, Verdict::poison},                               // MSG_SIZE_TOO_LARGE
    Row{13, Verdict::retry},                                // NETWORK_EXCEPTION
    Row{17, Verdict::poison},                               // TOPIC_EXCEPTION: not a legal topic name
    Row{18, Verdict::poison},                               // RECORD_LIST_TOO_LARGE
    Row{19, Verdict::retry},                                // NOT_ENOUGH_REPLICAS
    Row{20, Verdict::retry},                                // NOT_ENOUGH_REPLICAS_AFTER_APPEND
    Row{21, Verdict::outage},                               // INVALID_REQUIRED_ACKS
    Row{29, Verdict::outage},                               // TOPIC_AUTHORIZATION_FAILED
    Row{31, Verdict::outage},                               // CLUSTER_AUTHORIZATION_FAILED
    Row{32, Verdict::poison},                               // INVALID_TIMESTAMP
    Row{33, Verdict::outage},                               // UNSUPPORTED_SASL_MECHANISM
    Row{34, Verdict::outage},                               // ILLEGAL_SASL_STATE
    Row{35, Verdict::outage},                               // UNSUPPORTED_VERSION
    Row{41, Verdict::retry},                                // NOT_CONTROLLER
    Row{43, Verdict::outage},                               // UNSUPPORTED_FOR_MESSAGE_FORMAT
    Row{44, Verdict::poison},                               // POLICY_VIOLATION
    Row{45, Verdict::outage},                               // OUT_OF_ORDER_SEQUENCE_NUMBER
    Row{46, Verdict::retry},                                // DUPLICATE_SEQUENCE_NUMBER
    Row{47, Verdict::outage},                               // INVALID_PRODUCER_EPOCH
    Row{49, Verdict::outage},                               // INVALID_PRODUCER_ID_MAPPING
    Row{53, Verdict::outage},                               // TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    Row{54, Verdict::outage},                               // SECURITY_DISABLED
    Row{56, Verdict::retry},                                // KAFKA_STORAGE_ERROR
    Row{58, Verdict::outage},                               // SASL_AUTHENTICATION_FAILED
    Row{59, Verdict::outage},                               // UNKNOWN_PRODUCER_ID
    Row{74, Verdict::retry},                                // FENCED_LEADER_EPOCH
    Row{75, Verdict::retry},                                // UNKNOWN_LEADER_EPOCH
    Row{76, Verdict::outage},                               // UNSUPPORTED_COMPRESSION_TYPE
    Row{77, Verdict::retry},                                // STALE_BROKER_EPOCH
    Row{87, Verdict::poison},                               // INVALID_RECORD
    Row{89, Verdict::retry},                                // THROTTLING_QUOTA_EXCEEDED
    Row{90, Verdict::outage},                               // PRODUCER_FENCED
};

constexpr bool sorted() {
  for (std::size_t i = 1; i < kTable.size(); ++i) {
    if (kTable[i - 1].code >= kTable[i].code) return false;
  }
  return true;
}
static_assert(sorted());

const Row* find(int code) noexcept {
  for (const Row& row : kTable) {
    if (row.code == code) return &row;
  }
  return nullptr;
}

}  // namespace

Verdict verdict(int code) noexcept {
  const Row* row = find(code);
  return row != nullptr ? row->verdict : Verdict::retry;
}

bool is_known(int code) noexcept { return find(code) != nullptr; }

bool is_purge(int code) noexcept { return code == -152 || code == -151; }

bool is_about_topic(int code) noexcept { return code == -190 || code == -188 || code == 3 || code == 29; }

bool is_about_size(int code) noexcept { return code == 10 || code == 18; }

FaultKind fault_kind(int code) noexcept {
  switch (code) {
    case -195:  // _TRANSPORT
    case -187:  // _ALL_BROKERS_DOWN
      return FaultKind::refused;
    case -193:
      return FaultKind::name_resolution;
    case -181:
      return FaultKind::tls;
    case -192:
    case -185:
    case -166:
    case 7:
      return FaultKind::timed_out;
    case -169:
    case 33:
    case 34:
    case 58:
      return FaultKind::authentication;
    case 29:
    case 31:
    case 53:
      return FaultKind::authorisation;
    case -190:
    case -188:
    case 3:
      return FaultKind::topic_missing;
    case 5:
    case -183:
    case 19:
    case 20:
      return FaultKind::not_enough_replicas;
    case -150:
    case -148:
    case -144:
    case 45:
    case 47:
    case 49:
    case 59:
    case 90:
      return FaultKind::broker_fatal;
    default:
      return FaultKind::unknown;
  }
}

}  // namespace ratchet::kafka
