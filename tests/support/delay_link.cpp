// delay_link NETNS OURS THEIRS ONE_WAY_MS: joins this network and the named one by a pair of TUN devices, every packet
// being late by so much in each direction. Says "up" when packets flow; ends when standard input does.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace {

using Time = std::chrono::steady_clock;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

// A device in the network this process is in at the moment.
int make_device(const std::string& name, const std::string& address, const std::string& peer) {
  const int fd = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) die("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  if (::ioctl(fd, TUNSETIFF, &request) != 0) die("TUNSETIFF");
  const std::string command = "ip addr add " + address + " peer " + peer + " dev " + name + " && ip link set " + name +
                              " txqueuelen 5000 up && ip link set lo up";
  if (std::system(command.c_str()) != 0) die("ip");
  return fd;
}

struct Packet {
  Time::time_point due;
  std::string bytes;
};

struct Way {
  int from, to;
  std::deque<Packet> late{};

  void take(Time::duration delay) {
    std::array<char, 70'000> bytes;
    ssize_t n = 0;
    while ((n = ::read(from, bytes.data(), bytes.size())) > 0)
      late.push_back({Time::now() + delay, std::string(bytes.data(), static_cast<std::size_t>(n))});
  }
  void give() {
    while (!late.empty() && late.front().due <= Time::now()) {
      const std::string& bytes = late.front().bytes;
      if (::write(to, bytes.data(), bytes.size()) < 0) std::perror("a packet was lost");
      late.pop_front();
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 64;
  const std::string ours = argv[2], theirs = argv[3];
  const auto delay = std::chrono::milliseconds(std::atoi(argv[4]));
  const std::string name = "rd" + std::to_string(::getpid());
  const int here = make_device(name, ours, theirs);
  const int network = ::open((std::string("/var/run/netns/") + argv[1]).c_str(), O_RDONLY | O_CLOEXEC);
  if (network < 0 || ::setns(network, CLONE_NEWNET) != 0) die("setns");
  const int there = make_device(name, theirs, ours);
  std::puts("up");
  std::fflush(stdout);
  std::array<Way, 2> ways = {Way{here, there}, Way{there, here}};
  for (;;) {
    std::array<pollfd, 3> fds = {{{here, POLLIN, 0}, {there, POLLIN, 0}, {0, POLLIN, 0}}};
    const timespec nap{0, 500'000};
    ::ppoll(fds.data(), fds.size(), &nap, nullptr);
    if (fds[2].revents != 0) return 0;
    for (Way& way : ways)
      way.take(delay);
    for (Way& way : ways)
      way.give();
  }
}
