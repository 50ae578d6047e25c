#include "levels/2_broker/connection_reason.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using kafka::read_reason;

TEST_CASE("connection reason: librdkafka's line is taken apart into address, broker and reason") {
  auto told = read_reason(
      "kafka-7.invalid:9092/12: Failed to resolve 'kafka-7.invalid:9092': Name or service not known (after 0ms in "
      "state "
      "CONNECT, 1 identical error(s) suppressed)");
  CHECK(told.where == "kafka-7.invalid:9092");
  CHECK(told.node == 12);
  CHECK(told.reason == "failed to resolve 'kafka-7.invalid:9092': Name or service not known");

  told =
      read_reason("sasl_ssl://10.0.0.1:9093/3: Connect to ipv4#10.0.0.1:9093 failed: Connection refused (after 1ms)");
  CHECK(told.where == "10.0.0.1:9093");
  CHECK(told.node == 3);
  CHECK(told.reason == "connection refused");
}

TEST_CASE("connection reason: a bootstrap address and a line without one have no broker") {
  CHECK_FALSE(read_reason("127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused").node);
  CHECK_FALSE(read_reason("127.0.0.1:9092/: nothing").node);
  CHECK_FALSE(read_reason("127.0.0.1:9092/99999999999999999999: too large").node);
  CHECK_FALSE(read_reason("127.0.0.1:9092/1x: no number").node);
  CHECK_FALSE(read_reason("").node);
  const auto told = read_reason("1/1 brokers are down");
  CHECK_FALSE(told.node);
  CHECK(told.where.empty());
  CHECK(told.reason == "1/1 brokers are down");
  CHECK(kafka::short_reason("127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused") ==
        "127.0.0.1:9092: connection refused");
}
