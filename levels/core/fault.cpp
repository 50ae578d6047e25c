#include "levels/core/fault.hpp"

namespace ratchet {

std::string_view to_string(FaultKind kind) noexcept {
  switch (kind) {
    case FaultKind::refused:
      return "refused";
    case FaultKind::timed_out:
      return "timed_out";
    case FaultKind::name_resolution:
      return "name_resolution";
    case FaultKind::tls:
      return "tls";
    case FaultKind::authentication:
      return "authentication";
    case FaultKind::authorisation:
      return "authorisation";
    case FaultKind::schema_missing:
      return "schema_missing";
    case FaultKind::schema_older:
      return "schema_older";
    case FaultKind::schema_newer:
      return "schema_newer";
    case FaultKind::read_only:
      return "read_only";
    case FaultKind::too_many_connections:
      return "too_many_connections";
    case FaultKind::too_few_connections:
      return "too_few_connections";
    case FaultKind::pooler:
      return "pooler";
    case FaultKind::wrong_setting:
      return "wrong_setting";
    case FaultKind::connection_lost:
      return "connection_lost";
    case FaultKind::disk_full:
      return "disk_full";
    case FaultKind::standby_away:
      return "standby_away";
    case FaultKind::disk_stuck:
      return "disk_stuck";
    case FaultKind::locked:
      return "locked";
    case FaultKind::topic_missing:
      return "topic_missing";
    case FaultKind::not_enough_replicas:
      return "not_enough_replicas";
    case FaultKind::leader_unreachable:
      return "leader_unreachable";
    case FaultKind::broker_fatal:
      return "broker_fatal";
    case FaultKind::address_in_use:
      return "address_in_use";
    case FaultKind::out_of_files:
      return "out_of_files";
    case FaultKind::service_errors:
      return "service_errors";
    case FaultKind::cancelled:
      return "cancelled";
    case FaultKind::unknown:
      return "unknown";
  }
  return "unknown";
}

bool needs_a_person(FaultKind kind) noexcept {
  switch (kind) {
    case FaultKind::authentication:
    case FaultKind::authorisation:
    case FaultKind::schema_missing:
    case FaultKind::schema_older:
    case FaultKind::schema_newer:
    case FaultKind::topic_missing:
    case FaultKind::pooler:
    case FaultKind::wrong_setting:
      return true;
    case FaultKind::refused:
    case FaultKind::timed_out:
    case FaultKind::name_resolution:
    case FaultKind::tls:
    case FaultKind::read_only:
    case FaultKind::too_many_connections:
    case FaultKind::too_few_connections:
    case FaultKind::connection_lost:
    case FaultKind::disk_full:
    case FaultKind::standby_away:
    case FaultKind::disk_stuck:
    case FaultKind::locked:
    case FaultKind::not_enough_replicas:
    case FaultKind::leader_unreachable:
    case FaultKind::broker_fatal:
    case FaultKind::address_in_use:
    case FaultKind::out_of_files:
    case FaultKind::service_errors:
    case FaultKind::cancelled:
    case FaultKind::unknown:
      return false;
  }
  return false;
}

bool ends_at_once(FaultKind kind) noexcept {
  return kind == FaultKind::standby_away || kind == FaultKind::disk_stuck || kind == FaultKind::locked;
}

}  // namespace ratchet
