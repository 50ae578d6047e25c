// A secret is named, not written: {"credential": "x"} (systemd's $CREDENTIALS_DIRECTORY/x), {"file": "/path"},
// {"env": "NAME"}; a plain string is allowed and alarmed. A file is read anew at each use, so a changed password
// needs no restart.
#pragma once

#include <string>
#include <string_view>

namespace ratchet {

class Secret {
 public:
  enum class Kind { credential, file, env, inline_text };
  Secret() = default;
  Secret(Kind kind, std::string source) : kind_(kind), source_(std::move(source)) {}
  bool operator==(const Secret&) const = default;

  Kind kind() const noexcept { return kind_; }
  const std::string& source() const noexcept { return source_; }  // never the secret itself, but for inline_text

  struct Value {
    std::string text;
    std::string error;  // why it could not be read; empty when it could
  };
  // Without one trailing newline. Errors: not there, not readable, not a regular file, empty, over 64 KiB, a NUL byte;
  // the error never holds the secret. Any thread; blocks no longer than one read of a local file.
  Value read() const;

 private:
  Kind kind_ = Kind::inline_text;
  std::string source_;
};

// The one redaction function: passwords in DSNs (conninfo and URI form) and values of keys that name secrets
// become "***". Used wherever text that may hold them leaves the process.
std::string redact(std::string_view text);

// "password", "sasl.password", "ssl.key.pem", "client_secret", ...: by the end of the name, in any case.
bool names_a_secret(std::string_view key);

}  // namespace ratchet
