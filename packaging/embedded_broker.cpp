// A Kafka broker for trying ratchetd: librdkafka's mock cluster in a process of its own. Everything is in memory.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::uint16_t wanted_port = 0;  // for the one listener the mock cluster opens; the mock has no setting for it

}  // namespace

// Stands before libc's, so that the mock's listener gets the wanted port instead of a random one.
extern "C" int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
  using Bind = int (*)(int, const sockaddr*, socklen_t);
  static const Bind real = reinterpret_cast<Bind>(dlsym(RTLD_NEXT, "bind"));
  sockaddr_in changed{};
  if (wanted_port == 0 || address->sa_family != AF_INET || size < sizeof changed) return real(fd, address, size);
  changed = *reinterpret_cast<const sockaddr_in*>(address);
  changed.sin_port = htons(wanted_port);
  const int yes = 1;  // a port used a minute ago may be used again
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  return real(fd, reinterpret_cast<const sockaddr*>(&changed), sizeof changed);
}

namespace {

constexpr int kUsage = 64;
constexpr int kUnavailable = 69;

constexpr const char* kHelp =
    "usage: ratchet-embedded-broker [--port N] [--topic NAME[:PARTITIONS]]...\n"
    "\n"
    "A Kafka broker for trying ratchetd without installing Kafka. FOR TRYING ONLY: everything is in memory, gone\n"
    "when it ends; it keeps the latest 5 MB of each partition and drops what is older without a word.\n"
    "\n"
    "  --port N                   listen on 127.0.0.1:N (default: a free port)\n"
    "  --topic NAME[:PARTITIONS]  create this topic (default: 4 partitions); may be repeated\n"
    "  --help, --version\n"
    "\n"
    "Prints one line, bootstrap.servers=127.0.0.1:PORT, once it listens. Ends on SIGTERM, on SIGINT, or when its\n"
    "standard input ends (if that is a pipe, a socket or a terminal).\n"
    "Exits 0 asked to end, 64 usage, 69 cannot listen.\n";

struct NewTopic {
  std::string name;
  int partitions = 4;
};

struct Options {
  std::uint16_t port = 0;
  std::vector<NewTopic> topics;
};

template <class Number>
std::optional<Number> number(std::string_view text, Number least, Number most) {
  Number value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) return std::nullopt;
  return value;
}

std::optional<NewTopic> topic(std::string_view text) {
  NewTopic wanted;
  auto colon = text.find(':');
  wanted.name = text.substr(0, colon);
  if (colon != std::string_view::npos) {
    auto partitions = number<int>(text.substr(colon + 1), 1, 1000);
    if (!partitions) return std::nullopt;
    wanted.partitions = *partitions;
  }
  if (wanted.name.empty()) return std::nullopt;
  return wanted;
}

std::optional<Options> parse(const std::vector<std::string_view>& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    if (i + 1 == arguments.size()) return std::nullopt;
    if (arguments[i] == "--port") {
      auto port = number<std::uint16_t>(arguments[i + 1], 0, 65535);
      if (!port) return std::nullopt;
      options.port = *port;
    } else if (arguments[i] == "--topic") {
      auto wanted = topic(arguments[i + 1]);
      if (!wanted) return std::nullopt;
      options.topics.push_back(*wanted);
    } else {
      return std::nullopt;
    }
  }
  return options;
}

struct Destroy {
  void operator()(rd_kafka_t* handle) const noexcept { rd_kafka_destroy(handle); }
  void operator()(rd_kafka_mock_cluster_t* cluster) const noexcept { rd_kafka_mock_cluster_destroy(cluster); }
};

// Blocks until a signal in `signals` or the end of stdin.
void wait_for_end(const sigset_t& signals) {
  struct stat in {};
  bool leash = fstat(STDIN_FILENO, &in) == 0 && (S_ISFIFO(in.st_mode) || S_ISSOCK(in.st_mode) || isatty(STDIN_FILENO));
  std::array<pollfd, 2> files{
      {{signalfd(-1, &signals, SFD_CLOEXEC), POLLIN, 0}, {leash ? STDIN_FILENO : -1, POLLIN, 0}}};
  for (;;) {
    if (poll(files.data(), files.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (files[0].revents != 0) return;
    std::array<char, 4096> ignored{};
    if (files[1].revents != 0 && read(STDIN_FILENO, ignored.data(), ignored.size()) <= 0) return;
  }
}

// Asked first, because the mock cluster aborts the process when its listener cannot bind.
bool can_listen(std::uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  wanted_port = port;
  bool can = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  wanted_port = 0;
  close(fd);
  return can;
}

int serve(const Options& options) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);  // before librdkafka's threads are there

  if (!can_listen(options.port)) {
    std::fprintf(stderr, "ratchet-embedded-broker: cannot listen on 127.0.0.1:%u\n", unsigned{options.port});
    return kUnavailable;
  }
  std::array<char, 512> why{};
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set_log_cb(conf, nullptr);  // its lines are about a client that nobody uses
  std::unique_ptr<rd_kafka_t, Destroy> handle(rd_kafka_new(RD_KAFKA_PRODUCER, conf, why.data(), why.size()));
  if (!handle) {
    std::fprintf(stderr, "ratchet-embedded-broker: %s\n", why.data());
    return kUnavailable;
  }
  wanted_port = options.port;
  std::unique_ptr<rd_kafka_mock_cluster_t, Destroy> cluster(rd_kafka_mock_cluster_new(handle.get(), 1));
  wanted_port = 0;
  if (!cluster) {
    std::fputs("ratchet-embedded-broker: the mock cluster does not start\n", stderr);
    return kUnavailable;
  }
  for (const auto& wanted : options.topics) {
    auto code = rd_kafka_mock_topic_create(cluster.get(), wanted.name.c_str(), wanted.partitions, 1);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      std::fprintf(stderr, "ratchet-embedded-broker: topic %s: %s\n", wanted.name.c_str(), rd_kafka_err2str(code));
      return kUsage;
    }
  }
  std::printf("bootstrap.servers=%s\n", rd_kafka_mock_cluster_bootstraps(cluster.get()));
  std::fflush(stdout);
  wait_for_end(signals);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string_view> arguments(argv + 1, argv + argc);
  for (auto argument : arguments) {
    if (argument == "--help") return std::fputs(kHelp, stdout) < 0 ? 1 : 0;
    if (argument == "--version") return std::puts("ratchet-embedded-broker " RATCHET_VERSION) < 0 ? 1 : 0;
  }
  auto options = parse(arguments);
  if (!options) {
    std::fputs(kHelp, stderr);
    return kUsage;
  }
  return serve(*options);
}
