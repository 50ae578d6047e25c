#include "tests/support/kafka.hpp"

#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "tests/support/process.hpp"

namespace ratchet::tests {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = 120s;
constexpr int kPatienceMs = 60'000;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("test Kafka: " + what); }

template <class Condition>
bool wait_for(Condition condition) {
  return wait_until(kPatience, condition);
}

template <auto destroy>
struct With {
  template <class T>
  void operator()(T* held) const noexcept {
    destroy(held);
  }
};
using Handle = std::unique_ptr<rd_kafka_t, With<rd_kafka_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, With<rd_kafka_queue_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, With<rd_kafka_event_destroy>>;
using Message = std::unique_ptr<rd_kafka_message_t, With<rd_kafka_message_destroy>>;
using List = std::unique_ptr<rd_kafka_topic_partition_list_t, With<rd_kafka_topic_partition_list_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, With<rd_kafka_metadata_destroy>>;
using NewTopic = std::unique_ptr<rd_kafka_NewTopic_t, With<rd_kafka_NewTopic_destroy>>;
using DeleteTopic = std::unique_ptr<rd_kafka_DeleteTopic_t, With<rd_kafka_DeleteTopic_destroy>>;
using Resource = std::unique_ptr<rd_kafka_ConfigResource_t, With<rd_kafka_ConfigResource_destroy>>;

void silent(const rd_kafka_t*, int, const char*, const char*) {}

Handle make(rd_kafka_type_t type, const std::map<std::string, std::string>& config) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  std::array<char, 512> why{};
  for (const auto& [key, value] : config) {
    if (rd_kafka_conf_set(conf, key.c_str(), value.c_str(), why.data(), why.size()) != RD_KAFKA_CONF_OK) {
      fail(why.data());
    }
  }
  rd_kafka_conf_set_log_cb(conf, silent);
  Handle made(rd_kafka_new(type, conf, why.data(), why.size()));
  if (!made) fail(why.data());
  return made;
}

void check(rd_kafka_resp_err_t code, const std::string& what) {
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) fail(what + ": " + rd_kafka_err2str(code));
}

Consumed copy(const rd_kafka_message_t& message) {
  Consumed record;
  record.partition = message.partition;
  record.offset = message.offset;
  if (message.key != nullptr) record.key.emplace(static_cast<const char*>(message.key), message.key_len);
  if (message.payload != nullptr) record.value.emplace(static_cast<const char*>(message.payload), message.len);
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return record;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
       ++i) {
    record.headers.emplace_back(name, std::string(static_cast<const char*>(value), size));
  }
  return record;
}

}  // namespace

// One librdkafka consumer for administration and for reading back.
class Kafka::Client {
 public:
  explicit Client(const std::string& bootstrap)
      : handle_(make(RD_KAFKA_CONSUMER, {{"bootstrap.servers", bootstrap},
                                         {"group.id", "ratchet-tests"},
                                         {"enable.auto.commit", "false"},
                                         {"enable.partition.eof", "true"},
                                         {"auto.offset.reset", "earliest"},
                                         {"reconnect.backoff.ms", "20"},
                                         {"reconnect.backoff.max.ms", "200"},
                                         {"socket.timeout.ms", "10000"},
                                         {"allow.auto.create.topics", "false"},
                                         {"fetch.wait.max.ms", "10"},
                                         {"topic.metadata.refresh.interval.ms", "1000"}})) {
    rd_kafka_poll_set_consumer(handle_.get());
  }

  Metadata metadata(int ms) const {
    const rd_kafka_metadata_t* raw = nullptr;
    auto code = rd_kafka_metadata(handle_.get(), 1, nullptr, &raw, ms);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? Metadata(raw) : Metadata();
  }

  // `start` begins an administrative request on the queue it is given.
  template <class Start>
  Event ask(const std::string& what, Start start) const {
    Queue queue(rd_kafka_queue_new(handle_.get()));
    start(handle_.get(), queue.get());
    Event event(rd_kafka_queue_poll(queue.get(), kPatienceMs));
    if (!event) fail(what + ": no answer");
    check(rd_kafka_event_error(event.get()), what);
    return event;
  }

  // For every partition of the topic: the lowest offset and the next one to be written.
  std::map<std::int32_t, std::pair<std::int64_t, std::int64_t>> ends(const std::string& topic) const {
    std::map<std::int32_t, std::pair<std::int64_t, std::int64_t>> found;
    Metadata all = metadata(kPatienceMs);
    if (!all) fail("no metadata");
    for (int t = 0; t < all->topic_cnt; ++t) {
      if (all->topics[t].topic != topic) continue;
      for (int p = 0; p < all->topics[t].partition_cnt; ++p) {
        std::int64_t low = 0, high = 0;
        check(rd_kafka_query_watermark_offsets(handle_.get(), topic.c_str(), p, &low, &high, kPatienceMs), "offsets");
        found[p] = {low, high};
      }
    }
    return found;
  }

  std::vector<Consumed> consume(const std::string& topic) const {
    auto until = ends(topic);
    List list(rd_kafka_topic_partition_list_new(static_cast<int>(until.size())));
    std::size_t open = 0;
    for (const auto& [partition, range] : until) {
      if (range.first == range.second) continue;
      rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = range.first;
      ++open;
    }
    std::vector<Consumed> records;
    if (open == 0) return records;
    check(rd_kafka_assign(handle_.get(), list.get()), "assign");
    for (auto end = Clock::now() + kPatience; open > 0;) {
      if (Clock::now() > end) fail("records do not come");
      Message message(rd_kafka_consumer_poll(handle_.get(), 1000));
      if (!message || message->err != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
      auto last = until[message->partition].second - 1;
      if (message->offset <= last) records.push_back(copy(*message));
      if (message->offset == last) --open;
    }
    check(rd_kafka_assign(handle_.get(), nullptr), "assign");
    std::stable_sort(records.begin(), records.end(), [](const auto& a, const auto& b) {
      return std::pair(a.partition, a.offset) < std::pair(b.partition, b.offset);
    });
    return records;
  }

 private:
  Handle handle_;
};

Kafka::Kafka(const std::vector<std::string>& config) : config_(config) {
  folder_ = make_folder("ratchet-kafka-");
  start_janitor();
  jars_ = run({RATCHET_GET_KAFKA});
  jars_ = jars_.substr(0, jars_.find_last_not_of('\n') + 1);
  jars_ = jars_.substr(jars_.rfind('\n') + 1) + "/*";
  for (int tries = 0; tries < 5; ++tries) {  // another test may have taken a port in between
    port_ = free_port();
    controller_port_ = free_port();
    std::string at = "PLAINTEXT://127.0.0.1:" + std::to_string(port_);
    std::string controller = "127.0.0.1:" + std::to_string(controller_port_);
    fs::remove_all(folder_ + "/data");
    std::ofstream file(folder_ + "/server.properties", std::ios::trunc);
    file << "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@" << controller
         << "\nlisteners=" << at << ",CONTROLLER://" << controller << "\nadvertised.listeners=" << at
         << "\ncontroller.listener.names=CONTROLLER\n"
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs="
         << folder_
         << "/data\noffsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n"
            "transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\nnum.network.threads=2\n"
            "num.io.threads=4\nlog.cleaner.dedupe.buffer.size=4000000\n"
            "broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n";
    for (const auto& line : config_)
      file << line << '\n';
    file.close();
    run({"java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", jars_, "kafka.tools.StorageTool",
         "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", folder_ + "/server.properties"});
    client_ = std::make_unique<Client>(bootstrap());
    spawn_broker();
    if (wait_ready()) return;
  }
  fail("does not start: " + log());
}

Kafka::~Kafka() {
  if (process_ != 0) {
    ::kill(process_, SIGKILL);
    reap();
  }
  client_.reset();
  std::error_code ignored;  // the janitor removes what is left
  fs::remove_all(folder_, ignored);
  ::close(janitor_pipe_);
  wait_end(janitor_);
}

// Waits for the end of the pipe, which only this process holds; then ends the broker, if there is still one, and
// removes the folder.
void Kafka::start_janitor() {
  Pipe pipe;
  janitor_ = spawn_janitor(
      "if read -r pid 2>/dev/null < \"$0/pid\"; then "
      "grep -qz \"$0/server.properties\" \"/proc/$pid/cmdline\" && kill -9 \"$pid\"; sleep 0.2; fi 2>/dev/null; rm -rf "
      "\"$0\"",
      folder_, pipe);
  janitor_pipe_ = std::exchange(pipe.write_end, -1);
}

void Kafka::spawn_broker() {
  process_ = spawn_logging(
      {"java", "-Xms128m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
       "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", jars_, "kafka.Kafka", folder_ + "/server.properties"},
      folder_ + "/log");
  std::ofstream(folder_ + "/pid", std::ios::trunc) << process_ << '\n';
}

bool Kafka::wait_ready() {
  bool ended = false;
  bool ready = wait_for([&] {
    if (::waitpid(process_, nullptr, WNOHANG) == process_) return ended = true;
    Metadata metadata = client_->metadata(500);
    return metadata && metadata->broker_cnt > 0;
  });
  if (ended) process_ = 0;
  if (!ready) fail("not ready in time: " + log());
  return !ended;
}

void Kafka::start() {
  if (process_ != 0) fail("already running");
  spawn_broker();
  if (!wait_ready()) fail("does not start: " + log());
}

void Kafka::stop() {
  if (process_ == 0) return;
  thaw();
  ::kill(process_, SIGTERM);
  reap();
}

void Kafka::kill9() {
  if (process_ == 0) return;
  ::kill(process_, SIGKILL);
  reap();
}

void Kafka::freeze() {
  ::kill(process_, SIGSTOP);
  auto stopped = [this] { return process_state(process_).state == 'T'; };
  if (!wait_for(stopped)) fail("does not stop");
}

void Kafka::thaw() {
  if (process_ != 0) ::kill(process_, SIGCONT);
}

void Kafka::reap() noexcept {
  wait_end(process_);
  process_ = 0;
}

void Kafka::create_topic(const std::string& name, int partitions, const std::map<std::string, std::string>& config) {
  std::array<char, 512> why{};
  NewTopic topic(rd_kafka_NewTopic_new(name.c_str(), partitions, 1, why.data(), why.size()));
  if (!topic) fail(why.data());
  for (const auto& [key, value] : config)
    rd_kafka_NewTopic_set_config(topic.get(), key.c_str(), value.c_str());
  rd_kafka_NewTopic_t* raw = topic.get();
  Event event = client_->ask("create topic", [&](rd_kafka_t* handle, rd_kafka_queue_t* queue) {
    rd_kafka_CreateTopics(handle, &raw, 1, nullptr, queue);
  });
  std::size_t count = 0;
  const auto** results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  for (std::size_t i = 0; i < count; ++i)
    check(rd_kafka_topic_result_error(results[i]), "create topic " + name);
  auto there = [&] {
    Metadata all = client_->metadata(1000);
    for (int t = 0; all && t < all->topic_cnt; ++t) {
      const auto& found = all->topics[t];
      if (found.topic != name || found.err != 0 || found.partition_cnt != partitions) continue;
      return std::all_of(found.partitions, found.partitions + partitions, [](const auto& p) { return p.leader >= 0; });
    }
    return false;
  };
  if (!wait_for(there)) fail("topic " + name + " gets no leaders");
}

void Kafka::delete_topic(const std::string& name) {
  DeleteTopic topic(rd_kafka_DeleteTopic_new(name.c_str()));
  rd_kafka_DeleteTopic_t* raw = topic.get();
  Event event = client_->ask("delete topic", [&](rd_kafka_t* handle, rd_kafka_queue_t* queue) {
    rd_kafka_DeleteTopics(handle, &raw, 1, nullptr, queue);
  });
  std::size_t count = 0;
  const auto** results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event.get()), &count);
  for (std::size_t i = 0; i < count; ++i)
    check(rd_kafka_topic_result_error(results[i]), "delete topic " + name);
  auto gone = [&] {
    auto all = topics();
    return std::find(all.begin(), all.end(), name) == all.end();
  };
  if (!wait_for(gone)) fail("topic " + name + " does not go");
}

void Kafka::set_topic_config(const std::string& name, const std::string& key, const std::string& value) {
  Resource resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name.c_str()));
  rd_kafka_ConfigResource_set_config(resource.get(), key.c_str(), value.c_str());
  rd_kafka_ConfigResource_t* raw = resource.get();
  client_->ask("alter topic", [&](rd_kafka_t* handle, rd_kafka_queue_t* queue) {
    rd_kafka_AlterConfigs(handle, &raw, 1, nullptr, queue);
  });
}

std::vector<std::string> Kafka::topics() {
  std::vector<std::string> names;
  Metadata all = client_->metadata(kPatienceMs);
  if (!all) fail("no metadata");
  for (int t = 0; t < all->topic_cnt; ++t) {
    std::string name = all->topics[t].topic;
    if (!name.starts_with("__")) names.push_back(name);
  }
  return names;
}

std::vector<Consumed> Kafka::consume(const std::string& topic) { return client_->consume(topic); }

std::int64_t Kafka::count(const std::string& topic) {
  std::int64_t sum = 0;
  for (const auto& [partition, range] : client_->ends(topic))
    sum += range.second - range.first;
  return sum;
}

std::string Kafka::log() const { return text_of(folder_ + "/log"); }

}  // namespace ratchet::tests
