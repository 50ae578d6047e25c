#include "config/secret.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace ratchet {

namespace {

constexpr std::size_t kMaxSecretBytes = std::size_t{64} * 1024;

class File {
 public:
  // Without blocking: a FIFO in place of the file must not stop the daemon.
  explicit File(const char* path) noexcept : fd_(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

std::string reason() { return std::generic_category().message(errno); }

Secret::Value failed(std::string why) { return {{}, std::move(why)}; }

Secret::Value accepted(std::string text, const std::string& where) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  if (text.empty()) return failed(where + " is empty");
  if (text.find('\0') != std::string::npos) return failed(where + " holds a NUL byte");
  return {std::move(text), {}};
}

Secret::Value read_file(const std::string& path) {
  const File file(path.c_str());
  if (file.fd() < 0) return failed("file " + path + ": " + reason());
  struct stat about {};
  if (::fstat(file.fd(), &about) != 0) return failed("file " + path + ": " + reason());
  if (!S_ISREG(about.st_mode)) return failed("file " + path + " is not a regular file");
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(file.fd(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("file " + path + ": " + reason());
    if (n == 0) break;
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > kMaxSecretBytes) return failed("file " + path + " is larger than 64 KiB");
  }
  return accepted(std::move(text), "file " + path);
}

Secret::Value read_credential(const std::string& name) {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0') {
    return failed("credential " + name + ": $CREDENTIALS_DIRECTORY is not set (systemd sets it for LoadCredential=)");
  }
  return read_file(std::string(directory) + "/" + name);
}

Secret::Value read_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return failed("environment variable " + name + " is not set");
  return accepted(value, "environment variable " + name);
}

}  // namespace

Secret::Value Secret::read() const {
  switch (kind_) {
    case Kind::credential:
      return read_credential(source_);
    case Kind::file:
      return read_file(source_);
    case Kind::env:
      return read_environment(source_);
    case Kind::inline_text:
      return {source_, {}};
  }
  return failed("no such kind of secret");
}

}  // namespace ratchet
