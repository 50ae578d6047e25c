// A throwaway Apache Kafka for tests: one real broker (KRaft, no container) in a temp folder, on free ports of
// 127.0.0.1. It creates topics by itself when asked for unknown ones, as Kafka does by default.
// Leaves nothing behind, not even when the test program crashes (a janitor process waits for that).
// One thread at a time. Everything throws std::runtime_error with the reason.
//
//   Kafka kafka;                                      // format and start: about four seconds
//   kafka.create_topic("orders", 3);
//   produce_to(kafka.bootstrap());
//   kafka.freeze(); ... kafka.thaw(); kafka.kill9(); kafka.start();
//   for (const auto& record : kafka.consume("orders")) ...
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ratchet::tests {

struct Consumed {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::string>> headers;
};

class Kafka {
 public:
  // `config`: lines for server.properties, e.g. "message.max.bytes=100000".
  explicit Kafka(const std::vector<std::string>& config = {});
  ~Kafka();
  Kafka(const Kafka&) = delete;
  Kafka& operator=(const Kafka&) = delete;

  std::string bootstrap() const { return "127.0.0.1:" + std::to_string(port_); }
  std::uint16_t port() const noexcept { return port_; }
  const std::string& folder() const noexcept { return folder_; }
  pid_t process() const noexcept { return process_; }  // 0: not running

  // On the same ports and data. Waits until it answers.
  void start();
  void stop();  // SIGTERM, in order
  void kill9();
  void freeze();  // SIGSTOP
  void thaw();

  void create_topic(const std::string& name, int partitions = 1, const std::map<std::string, std::string>& config = {});
  void delete_topic(const std::string& name);
  void set_topic_config(const std::string& name, const std::string& key, const std::string& value);
  std::vector<std::string> topics();  // without Kafka's own

  // Everything in the topic up to now, partition by partition, each in the order of its offsets.
  std::vector<Consumed> consume(const std::string& topic);
  // How many records the topic holds now.
  std::int64_t count(const std::string& topic);

  std::string log() const;

 private:
  class Client;
  void spawn_broker();
  bool wait_ready();  // false: it ended while starting
  void start_janitor();
  void reap() noexcept;

  std::string jars_, folder_;
  std::vector<std::string> config_;
  std::uint16_t port_ = 0, controller_port_ = 0;
  pid_t process_ = 0, janitor_ = 0;
  int janitor_pipe_ = -1;
  std::unique_ptr<Client> client_;
};

}  // namespace ratchet::tests
