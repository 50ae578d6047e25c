#include "levels/2_broker/verdict.hpp"

#include <librdkafka/rdkafka.h>

#include "tests/support/catch.hpp"

using namespace ratchet;
using kafka::verdict;
using kafka::Verdict;

TEST_CASE("verdict: no error is an acknowledgement, and only that") {
  CHECK(verdict(RD_KAFKA_RESP_ERR_NO_ERROR) == Verdict::acknowledged);
  for (int code = -200; code < 200; ++code) {
    if (code != 0) CHECK(verdict(code) != Verdict::acknowledged);
  }
}

TEST_CASE("verdict: what passes by itself is tried again") {
  for (int code : {RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
                   RD_KAFKA_RESP_ERR__PURGE_QUEUE, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, RD_KAFKA_RESP_ERR__QUEUE_FULL,
                   RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                   RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                   RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, RD_KAFKA_RESP_ERR_INVALID_MSG, RD_KAFKA_RESP_ERR_UNKNOWN}) {
    INFO(code);
    CHECK(verdict(code) == Verdict::retry);
    CHECK(kafka::is_known(code));
  }
}

TEST_CASE("verdict: a record nobody will ever take is poison") {
  for (int code :
       {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, RD_KAFKA_RESP_ERR_INVALID_RECORD,
        RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
        RD_KAFKA_RESP_ERR_POLICY_VIOLATION, RD_KAFKA_RESP_ERR__INVALID_ARG}) {
    INFO(code);
    CHECK(verdict(code) == Verdict::poison);
  }
}

TEST_CASE("verdict: a broker or a right that is gone is an outage") {
  for (int code : {RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR__AUTHENTICATION,
                   RD_KAFKA_RESP_ERR__SSL, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                   RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                   RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
                   RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                   RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, RD_KAFKA_RESP_ERR_PRODUCER_FENCED}) {
    INFO(code);
    CHECK(verdict(code) == Verdict::outage);
  }
}

TEST_CASE("verdict: an unknown code is tried again and said to be unknown") {
  for (int code : {-300, -100, 98, 12345}) {
    CHECK(verdict(code) == Verdict::retry);
    CHECK_FALSE(kafka::is_known(code));
  }
}

TEST_CASE("verdict: codes about one topic are told apart") {
  CHECK(kafka::is_about_topic(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC));
  CHECK(kafka::is_about_topic(RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION));
  CHECK(kafka::is_about_topic(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART));
  CHECK(kafka::is_about_topic(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED));
  CHECK_FALSE(kafka::is_about_topic(RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED));
  CHECK_FALSE(kafka::is_about_topic(RD_KAFKA_RESP_ERR__FATAL));
}

TEST_CASE("verdict: a code names the kind of fault") {
  CHECK(kafka::fault_kind(RD_KAFKA_RESP_ERR__TRANSPORT) == FaultKind::refused);
  CHECK(kafka::fault_kind(RD_KAFKA_RESP_ERR__RESOLVE) == FaultKind::name_resolution);
  CHECK(kafka::fault_kind(RD_KAFKA_RESP_ERR__SSL) == FaultKind::tls);
  CHECK(kafka::fault_kind(RD_KAFKA_RESP_ERR__TIMED_OUT) == FaultKind::timed_out);
  CHECK(kafka::fault_kind(RD_KAFKA_RESP_ERR__AUTHENTICATION) == FaultKind::authentication);
  CHECK(kafka::fault_kind(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) == FaultKind::authorisation);
  CHECK(kafka::fault_kind(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) == FaultKind::topic_missing);
  CHECK(kafka::fault_kind(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS) == FaultKind::not_enough_replicas);
  CHECK(kafka::fault_kind(RD_KAFKA_RESP_ERR__FATAL) == FaultKind::broker_fatal);
  CHECK(kafka::fault_kind(12345) == FaultKind::unknown);
}
