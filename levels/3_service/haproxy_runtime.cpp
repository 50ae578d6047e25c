#include "levels/3_service/haproxy_runtime.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "levels/3_service/socket_address.hpp"

namespace ratchet::service {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostReply = std::size_t{4} * 1024 * 1024;  // "show stat" of a large HAProxy

std::string_view line_at(std::string_view text, std::size_t from) {
  return text.substr(from, text.find('\n', from) - from);
}

std::string_view first_line(std::string_view text) {
  const std::size_t from = text.find_first_not_of("\r\n");
  return from == std::string_view::npos ? std::string_view() : line_at(text, from);
}

// One conversation: send all, read to the end.
struct Talk {
  int fd = -1;
  std::string to_send;
  RuntimeReply reply;

  bool over() const noexcept { return fd < 0; }
  void end(bool reached, std::string_view why = {}) {
    ::close(fd);
    fd = -1;
    reply.reached = reached;
    if (!reached) reply.text = why;
  }
  void turn(short events) {
    if (!to_send.empty() && (events & (POLLOUT | POLLERR | POLLHUP)) != 0) {
      const ssize_t n = ::send(fd, to_send.data(), to_send.size(), MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN && errno != EINTR) return end(false, std::strerror(errno));
      if (n > 0) to_send.erase(0, static_cast<std::size_t>(n));
      return;
    }
    if ((events & (POLLIN | POLLERR | POLLHUP)) == 0) return;
    std::array<char, 16'384> part;
    const ssize_t n = ::recv(fd, part.data(), part.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return end(false, std::strerror(errno));
    if (n == 0) return end(true);
    reply.text.append(part.data(), static_cast<std::size_t>(n));
    if (reply.text.size() > kMostReply) end(false, "its reply is too long");
  }
};

}  // namespace

Told told_by(const RuntimeReply& reply, bool leaving) {
  if (!reply.reached) return {Told::Word::again, reply.text};
  const std::string_view line = first_line(reply.text);
  if (line.empty()) return {};
  if (leaving && (line == "No such server." || line == "No such backend.")) return {};
  return {Told::Word::failed, std::string(line.substr(0, 200))};
}

std::string field_of_info(std::string_view info, std::string_view name) {
  const std::string wanted = std::string(name) + ": ";
  for (std::size_t at = 0; at < info.size(); at = std::min(info.find('\n', at), info.size() - 1) + 1) {
    const std::string_view line = line_at(info, at);
    if (line.substr(0, wanted.size()) == wanted) return std::string(line.substr(wanted.size()));
  }
  return {};
}

std::optional<unsigned long> sessions_of(std::string_view stat, std::string_view backend, std::string_view server) {
  const std::string wanted = std::string(backend) + "," + std::string(server) + ",";
  for (std::size_t at = 0; at < stat.size(); at = std::min(stat.find('\n', at), stat.size() - 1) + 1) {
    std::string_view line = line_at(stat, at);
    if (line.substr(0, wanted.size()) != wanted) continue;
    line.remove_prefix(wanted.size());  // qcur,qmax,scur,...
    for (int i = 0; i < 2; ++i)
      line.remove_prefix(std::min(line.find(','), line.size() - 1) + 1);
    unsigned long n = 0;
    if (std::from_chars(line.data(), line.data() + line.size(), n).ec != std::errc()) return std::nullopt;
    return n;
  }
  return std::nullopt;
}

HaproxyRuntime::HaproxyRuntime(std::vector<std::string> sockets, std::string server, Health& health,
                               const TimeSource& time)
    : sockets_(std::move(sockets)),
      server_(std::move(server)),
      health_(health),
      time_(time),
      processes_(sockets_.size()) {}

Told HaproxyRuntime::tell(Verb verb, Leave, Patience& patience) {
  switch (verb) {
    case Verb::register_:
      return make_ready(false, patience);
    case Verb::heartbeat:
      return make_ready(true, patience);
    case Verb::drain:
      return all(ask(set_state("drain"), patience), true);
    case Verb::status:
      return are_idle(patience);
    case Verb::deregister:
      return leave_for_good(patience);
  }
  return {};
}

Told HaproxyRuntime::make_ready(bool only_new, Patience& patience) {
  const Replies infos = ask("show info", patience);
  std::vector<std::string> now(sockets_.size());
  bool same = only_new;
  for (std::size_t i = 0; i < infos.size(); ++i) {
    if (!infos[i].reached) return {Told::Word::again, sockets_[i] + ": " + infos[i].text};
    now[i] = field_of_info(infos[i].text, "Pid") + " " + field_of_info(infos[i].text, "Start_time_sec");
    same = same && now[i] == processes_[i];
  }
  if (same) return {};
  Told told = all(ask(set_state("ready"), patience), false);
  if (told.word == Told::Word::done) processes_ = std::move(now);
  return told;
}

Told HaproxyRuntime::leave_for_good(Patience& patience) {
  const Replies infos = ask("show info", patience);
  Told told = all(ask(set_state("maint"), patience), true);
  std::fill(processes_.begin(), processes_.end(), std::string());
  if (told.word != Told::Word::done) return told;
  for (const RuntimeReply& info : infos) {
    if (info.reached) health_.node_is_done(field_of_info(info.text, "node"), server_);
  }
  return told;
}

Told HaproxyRuntime::are_idle(Patience& patience) {
  const std::size_t slash = server_.find('/');
  const std::string backend = server_.substr(0, slash), server = server_.substr(slash + 1);
  for (const RuntimeReply& stat : ask("show stat", patience)) {
    if (!stat.reached) return {Told::Word::again, stat.text};
    const auto sessions = sessions_of(stat.text, backend, server);
    if (sessions.value_or(0) > 0) return {Told::Word::again, std::to_string(*sessions) + " sessions"};
  }
  return {};
}

Told HaproxyRuntime::all(const Replies& replies, bool leaving) const {
  Told worst;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    Told told = told_by(replies[i], leaving);
    if (told.word <= worst.word) continue;
    told.text = sockets_[i] + ": " + told.text;
    worst = std::move(told);
  }
  return worst;
}

int HaproxyRuntime::connect(const std::string& socket, Patience& patience, std::string& why) {
  if (socket.front() == '/') return connect_to_path(socket, why);
  const std::size_t colon = socket.rfind(':');
  std::string host = socket.substr(0, colon);
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  const auto port = static_cast<std::uint16_t>(std::stoul(socket.substr(colon + 1)));
  if (db::is_numeric_address(host)) return connect_to(host, port, why);
  const auto addresses = resolver_.resolve(host, patience, time_);
  if (!addresses) {
    why = addresses.error().text;
    return -1;
  }
  return connect_to(addresses->front(), port, why);
}

HaproxyRuntime::Replies HaproxyRuntime::ask(const std::string& command, Patience& patience) {
  std::vector<Talk> talks(sockets_.size());
  for (std::size_t i = 0; i < talks.size(); ++i) {
    talks[i].to_send = command + "\n";
    talks[i].fd = connect(sockets_[i], patience, talks[i].reply.text);
  }
  while (std::any_of(talks.begin(), talks.end(), [](const Talk& talk) { return !talk.over(); })) {
    const TimePoint now = time_.now();
    std::vector<pollfd> fds;
    fds.reserve(talks.size());
    for (const Talk& talk : talks)  // poll() passes over negative descriptors
      fds.push_back({talk.fd, static_cast<short>(talk.to_send.empty() ? POLLIN : POLLOUT), 0});
    const auto nap = std::chrono::ceil<milliseconds>(std::max<Duration>(patience.nap(now) - now, Duration::zero()));
    ::poll(fds.data(), fds.size(), static_cast<int>(nap.count()));
    for (std::size_t i = 0; i < talks.size(); ++i) {
      if (talks[i].over()) continue;
      talks[i].turn(fds[i].revents);
      if (!talks[i].over() && patience.over(time_.now())) talks[i].end(false, "no answer in time");
    }
  }
  Replies replies;
  for (Talk& talk : talks)
    replies.push_back(std::move(talk.reply));
  return replies;
}

}  // namespace ratchet::service
