#include "daemon/control.hpp"

#include <pthread.h>

#include <grp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <nlohmann/json.hpp>
#include <thread>

#include "config/secret.hpp"
#include "levels/0_baseline/listener.hpp"
#include "levels/0_baseline/ops.hpp"

namespace ratchet {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr std::ptrdiff_t kMostUnheard = 16;   // whose request is not there yet
constexpr std::ptrdiff_t kMostWaiting = 64;   // for a level, or for what a command does
constexpr std::size_t kLongestRequest = std::size_t{16} * 1024;
constexpr milliseconds kClientPatience{10'000};  // for its one line
constexpr milliseconds kLook{20};                // while somebody waits for a level or for a command's reply
constexpr milliseconds kRebind{1000};
constexpr milliseconds kAcceptPause{100};
constexpr const char* kAlarm = "control.socket";

class Fd {
 public:
  explicit Fd(int fd = -1) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int operator*() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_;
};

Json refusal(const std::string& why, bool busy = false) {
  Json answer{{"error", why}};
  if (busy) answer["busy"] = true;
  return answer;
}

std::string peer_name(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return "somebody";
  return "uid " + std::to_string(peer.uid) + ", pid " + std::to_string(peer.pid);
}

}  // namespace

class Control::Inside {
 public:
  explicit Inside(Parts parts) : parts_(std::move(parts)), end_(::eventfd(0, EFD_CLOEXEC)), thread_([this] { run(); }) {
    pthread_setname_np(thread_.native_handle(), "control-socket");
  }
  ~Inside() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(*end_, &one, sizeof one);
    thread_.join();
    listener_.close_and_remove();
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  struct Client {
    Fd fd;
    TimePoint until;  // its line, or its wait
    std::string in;
    std::optional<int> level;                        // waits for this level
    std::optional<std::future<CommandReply>> reply;  // waits for the control thread
    bool done = false;
  };

  void run() {
    for (;;) {
      if (!listener_.is_open() && parts_.time.now() >= bind_at_) bind();
      std::vector<pollfd> ready{{*end_, POLLIN, 0}, {listener_.fd(), POLLIN, 0}};
      for (const auto& client : clients_)  // of one that waits only the hanging up matters, which is always told
        ready.push_back({*client.fd, static_cast<short>(client.level || client.reply ? 0 : POLLIN), 0});
      if (::poll(ready.data(), ready.size(), patience()) < 0 && errno != EINTR) {
        parts_.log.error("control: poll failed", {{"reason", std::strerror(errno)}});
        return;
      }
      if (ready[0].revents != 0) return;
      auto seen = ready.begin() + 2;
      for (auto& client : clients_) {
        const short events = (seen++)->revents;
        if (client.level || client.reply) {
          client.done = (events & (POLLHUP | POLLERR)) != 0;
        } else if (events != 0) {
          read(client);
        }
        look(client);
      }
      clients_.remove_if([](const Client& client) { return client.done; });
      if (ready[1].revents != 0) accept();
    }
  }

  int patience() const {
    const bool waiting =
        std::any_of(clients_.begin(), clients_.end(), [](const Client& c) { return c.level || c.reply; });
    if (waiting) return static_cast<int>(kLook.count());
    if (!clients_.empty() || !listener_.is_open()) return static_cast<int>(kRebind.count());
    return -1;
  }

  void bind() {
    bind_at_ = parts_.time.now() + kRebind;
    ListenAddress address;
    address.path = parts_.path;
    auto opened = http::Listener::open(address, parts_.time.now());
    if (opened) {
      listener_ = std::move(*opened);
      give_to_operators();
      parts_.alarms.clear(kAlarm);
    } else {
      parts_.alarms.set(kAlarm, "control socket: " + opened.error().text,
                        "ops.control: choose a path of this daemon's own in a folder it may write to; ratchetctl "
                        "cannot reach it meanwhile; it is tried again each second");
    }
  }

  void give_to_operators() {
    const group* const own = ::getgrnam("ratchetd");
    if (own == nullptr || own->gr_gid == ::getegid()) return;
    if (::lchown(parts_.path.c_str(), static_cast<uid_t>(-1), own->gr_gid) != 0)
      parts_.log.info("control: the socket stays with our own group", {{"reason", std::strerror(errno)}});
  }

  // Who is heard out already is not counted; of those whose line is still to come the oldest goes for a newcomer.
  void accept() {
    Fd fd(listener_.accept().fd);
    if (!fd) {
      if (errno != EAGAIN) ::poll(nullptr, 0, static_cast<int>(kAcceptPause.count()));  // out of files: it stays queued
      return;
    }
    if (std::count_if(clients_.begin(), clients_.end(), is_unheard) >= kMostUnheard) {
      Client& oldest = *std::find_if(clients_.begin(), clients_.end(), is_unheard);
      read(oldest);  // it may have come in this very moment
      if (is_unheard(oldest)) answer(oldest, refusal("no request came, and others wait", true));
      clients_.remove_if([](const Client& client) { return client.done; });
    }
    clients_.push_back(Client{std::move(fd), parts_.time.now() + kClientPatience, {}, {}, {}, false});
  }

  static bool is_unheard(const Client& client) { return !client.done && !client.level && !client.reply; }
  bool are_many_waiting() const {
    return std::count_if(clients_.begin(), clients_.end(), [](const Client& c) { return !c.done && !is_unheard(c); }) >=
           kMostWaiting;
  }

  void read(Client& client) {
    char buffer[4096];
    const ssize_t got = ::recv(*client.fd, buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      client.done = true;
      return;
    }
    client.in.append(buffer, static_cast<std::size_t>(got));
    if (const auto end = client.in.find('\n'); end != std::string::npos) {
      obey(client, client.in.substr(0, end));
    } else if (client.in.size() > kLongestRequest) {
      answer(client, refusal("a request is one line of at most 16 KiB"));
    }
  }

  void obey(Client& client, const std::string& line) {
    const Json request = Json::parse(line, nullptr, false);
    const auto text = [&](const char* key) {
      return request.contains(key) && request[key].is_string() ? request[key].get<std::string>() : std::string();
    };
    const auto number = [&](const char* key, long otherwise) {
      return request.contains(key) && request[key].is_number_integer() ? request[key].get<long>() : otherwise;
    };
    if (!request.is_object()) return answer(client, refusal("a request is one JSON object on one line"));
    const std::string verb = text("verb");
    const long level = number("level", -1);
    if (verb == "status") {
      const auto status = parts_.board.read();
      return answer(client, status ? Json::parse(to_json(*status)) : refusal("it is only just starting", true));
    }
    const bool waits = verb == "wait" || verb == "hold" || verb == "drain" || verb == "release";
    if (waits && are_many_waiting()) return answer(client, refusal("too many wait on the control socket already", true));
    if (verb == "wait") {
      if (level < 0 || level > kTopLevel) return answer(client, refusal("wait: level must be 0..3"));
      client.level = static_cast<int>(level);
      client.until = parts_.time.now() + milliseconds(std::clamp(number("timeout_ms", 0), 0L, 86'400'000L));
      return;
    }
    if (verb == "relay") {
      if (text("what") != "pause" && text("what") != "resume") return answer(client, refusal("relay: pause or resume"));
      parts_.pause_relay(text("what") == "pause");
      return answer(client,
                    Json{{"done", text("what") == "pause" ? "relay paused: events are taken and kept, not published"
                                                          : "relay resumed"}});
    }
    if (verb == "pools") return answer(client, pools());
    if (verb == "reconnect") {
      const auto count = parts_.reconnect(text("pool"));
      if (!count) return answer(client, refusal("reconnect: " + count.error()));
      return answer(client, Json{{"done", std::to_string(*count) + " connections of pool " + text("pool") +
                                              " will be replaced, one by one"}});
    }
    if (verb == "route") {
      if (text("what") != "on" && text("what") != "off") return answer(client, refusal("route: on or off"));
      const std::string reason = text("reason");
      const std::string why = "by " + peer_name(*client.fd) + (reason.empty() ? "" : ": " + reason);
      const CommandReply reply = parts_.switch_route(text("path"), text("what") == "on", why);
      return answer(client, reply.done ? Json{{"done", reply.text}} : refusal(reply.text));
    }
    Command command{Command::Verb::release, 0, text("reason"), peer_name(*client.fd)};
    if (verb == "hold") {
      if (level < 0 || level >= kTopLevel) return answer(client, refusal("hold: level must be 0..2"));
      command.verb = Command::Verb::hold;
      command.level = static_cast<int>(level);
    } else if (verb == "drain") {
      command.verb = Command::Verb::drain;
    } else if (verb != "release") {
      return answer(client, refusal("unknown verb \"" + verb +
                                    "\": status, wait, hold, release, drain, relay, pools, reconnect, route"));
    }
    client.reply = parts_.mailbox.ask(std::move(command));
    client.until = parts_.time.now() + kClientPatience;
    if (!client.reply) answer(client, refusal("busy: too many commands at once", true));
  }

  // A required pool is tried again when level 1 is.
  Json pools() const {
    const auto status = parts_.board.read();
    const auto level = status ? status->levels[1].next_attempt : std::nullopt;
    Json list = Json::array();
    for (const auto& pool : parts_.pools()) {
      const auto next = pool.required ? (pool.counts.open > 0 ? std::nullopt : level) : pool.next_attempt;
      Json one{{"name", pool.name},
               {"role", pool.role == PoolRole::primary ? "primary" : "replica"},
               {"required", pool.required},
               {"outbox", pool.outbox},
               {"open", pool.counts.open},
               {"idle", pool.counts.idle},
               {"wanted", pool.counts.wanted},
               {"last_error", nullptr},
               {"next_attempt", nullptr}};
      if (pool.last_error)
        one["last_error"] = {{"text", redact(pool.last_error->text)}, {"at", rfc3339(pool.last_error->at)}};
      if (next) one["next_attempt"] = rfc3339(*next);
      list.push_back(std::move(one));
    }
    return {{"pools", std::move(list)}};
  }

  // What a waiting client waits for may have come.
  void look(Client& client) {
    if (client.done) return;
    if (client.reply && client.reply->wait_for(milliseconds(0)) == std::future_status::ready) {
      const CommandReply reply = client.reply->get();
      return answer(client, reply.done ? Json{{"done", reply.text}} : refusal(reply.text));
    }
    if (client.level) {
      const auto status = parts_.board.read();
      if (status && status->held >= *client.level)
        return answer(client, Json{{"done", "level " + std::to_string(status->held) + " is held"}});
      if (parts_.time.now() >= client.until)
        return answer(client, refusal(status ? headline(*status, parts_.time.now()) : "it is only just starting"));
    }
    if (parts_.time.now() < client.until) return;
    answer(client, refusal(client.reply ? "the control thread did not answer" : "no request came"));
  }

  void answer(Client& client, const Json& body) {
    const std::string line = body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    // A status fits into a unix socket's buffer; whoever does not read it has himself to blame.
    if (::send(*client.fd, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT) != static_cast<ssize_t>(line.size()))
      parts_.log.info("control: a client did not take its answer");
    client.done = true;
  }

  Parts parts_;
  Fd end_;
  http::Listener listener_;
  TimePoint bind_at_{};
  std::list<Client> clients_;
  std::thread thread_;  // last: starts when all is there
};

Control::Control(Parts parts) : inside_(std::make_unique<Inside>(std::move(parts))) {}
Control::~Control() = default;

}  // namespace ratchet
