#include "config/secret.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/paths.hpp"
#include "tests/support/catch.hpp"

using ratchet::redact;
using ratchet::Secret;

namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "ratchet-secret-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;  // a folder left behind is no reason to fail
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }
  std::string path(const std::string& name = {}) const { return name.empty() ? path_ : path_ / name; }

 private:
  std::filesystem::path path_;
};

class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

}  // namespace

TEST_CASE("secret: a file is read anew each time, without its last line break") {
  const Folder folder;
  const std::string path = folder.write("pw", "geheim\n");
  const Secret secret(Secret::Kind::file, path);
  CHECK(secret.read().text == "geheim");
  folder.write("pw", "neu\r\n");
  CHECK(secret.read().text == "neu");
  folder.write("pw", " with spaces \n\n");
  CHECK(secret.read().text == " with spaces \n");
  folder.write("pw", "no line break");
  CHECK(secret.read().text == "no line break");
  CHECK(secret.read().error.empty());
}

TEST_CASE("secret: what cannot be read says why, and never blocks") {
  const Folder folder;
  const auto error = [](Secret::Kind kind, const std::string& source) {
    const Secret::Value value = Secret(kind, source).read();
    CHECK(value.text.empty());
    return value.error;
  };
  CHECK(error(Secret::Kind::file, folder.path("nowhere")) ==
        "file " + folder.path("nowhere") + ": No such file or directory");
  CHECK(error(Secret::Kind::file, folder.path()).find("not a regular file") != std::string::npos);
  REQUIRE(::mkfifo(folder.path("fifo").c_str(), 0600) == 0);
  CHECK(error(Secret::Kind::file, folder.path("fifo")).find("not a regular file") != std::string::npos);
  CHECK(error(Secret::Kind::file, folder.write("empty", "\n")).find("is empty") != std::string::npos);
  CHECK(error(Secret::Kind::file, folder.write("nul", std::string("a\0b", 3))).find("NUL") != std::string::npos);
  CHECK(error(Secret::Kind::file, folder.write("big", std::string(70'000, 'x'))).find("64 KiB") != std::string::npos);
  CHECK(error(Secret::Kind::env, "RATCHET_TEST_NOT_SET") == "environment variable RATCHET_TEST_NOT_SET is not set");
}

TEST_CASE("secret: environment and systemd credentials") {
  const Folder folder;
  {
    const Variable variable("RATCHET_TEST_SECRET", "from env");
    CHECK(Secret(Secret::Kind::env, "RATCHET_TEST_SECRET").read().text == "from env");
  }
  CHECK(Secret(Secret::Kind::credential, "pg").read().error.find("CREDENTIALS_DIRECTORY") != std::string::npos);
  folder.write("pg", "from systemd\n");
  const Variable variable("CREDENTIALS_DIRECTORY", folder.path());
  CHECK(Secret(Secret::Kind::credential, "pg").read().text == "from systemd");
  CHECK(Secret(Secret::Kind::inline_text, "as it is\n").read().text == "as it is\n");
}

TEST_CASE("redact: DSNs in both forms") {
  CHECK(redact("host=a password=x1y2 user=b") == "host=a password=*** user=b");
  CHECK(redact("host=a PASSWORD = 'x1 \\' y2' user=b") == "host=a PASSWORD = '***' user=b");
  CHECK(redact("password=a\\ b host=h") == "password=*** host=h");
  CHECK(redact("sslpassword=x1y2") == "sslpassword=***");
  CHECK(redact("password='never closed") == "password='***");
  CHECK(redact("password= host=a").find("host=a") == std::string::npos);  // libpq: white space may follow the sign
  CHECK(redact("postgresql://u:x1y2@h:5432/db") == "postgresql://u:***@h:5432/db");
  CHECK(redact("postgres://u:x1/y2?z@w@h/db") == "postgres://u:***@h/db");
  CHECK(redact("postgresql://u@h/db?password=x1y2&sslmode=require") ==
        "postgresql://u@h/db?password=***&sslmode=require");
  CHECK(redact("at http://user:x1y2@proxy:3128/a@b, then") == "at http://user:***@proxy:3128/a@b, then");
  CHECK(redact("see http://127.0.0.1:8081/levels") == "see http://127.0.0.1:8081/levels");
}

TEST_CASE("redact: keys that name secrets, in JSON and elsewhere") {
  CHECK(redact(R"({"sasl.password":"x1\"y2","a":"b"})") == R"({"sasl.password":"***","a":"b"})");
  CHECK(redact(R"({"dsn": "host=a password=x1y2"})") == R"({"dsn": "host=a password=***"})");
  CHECK(redact(R"({"dsn": "postgres://u:x1y2@h"})") == R"({"dsn": "postgres://u:***@h"})");
  CHECK(redact(R"("{\"password\": \"x1y2\", \"a\": 1}")") == R"("{\"password\": \"***\", \"a\": 1}")");
  CHECK(redact(R"({"password": {"file": "/etc/x"}})") == R"({"password": {"file": "/etc/x"}})");
  CHECK(redact("Authorization: Bearer x1y2 z3\nHost: a") == "Authorization: ***\nHost: a");
  CHECK(redact("client_secret=x1y2") == "client_secret=***");
  CHECK(redact("ssl.key.pem: x1y2") == "ssl.key.pem: ***");
}

// The test's own deadline is the bound: what looks ahead anew at each step needs hours for these.
TEST_CASE("redact: hostile texts of megabytes are read once") {
  constexpr std::size_t kSize = 4'000'000;
  const auto times = [](std::string_view what) {
    std::string out;
    while (out.size() < kSize)
      out += what;
    return out;
  };
  for (const char* part :
       {"\\", "postgres://", "\"postgres://", "postgres://@", "postgres://:", "\\\"postgres://", "x://", "x://\\",
        "?token=&", "token ", "token\\\\", "'token'", "\"token\" ", "token: {", "@:"}) {
    CAPTURE(part);
    const std::string text = times(part);
    CHECK(redact("/" + text).size() <= text.size() * 2);
    CHECK(redact("a://" + text).size() <= text.size() * 2);
    CHECK(redact("token=" + text).size() <= text.size() * 2);
    CHECK(redact("token='" + text).size() <= text.size() * 2);
  }
  const std::string slashes = "GET " + std::string(kSize, '\\') + " ";
  CHECK(redact(slashes) == slashes);
  const std::string uris = times("postgres://");
  CHECK(redact(uris) == uris);
  CHECK(redact("postgres://u:p@h/" + uris + " x") == "postgres://u:***@h/" + uris + " x");
}

TEST_CASE("redact: leaves alone what is no secret, and is idempotent") {
  for (const char* text : {"", "FATAL:  password authentication failed for user \"app\"", "instance=a level=3",
                           "password", "\"password\"", "file \"/etc/ratchetd/password\": No such file or directory",
                           "password_file=/etc/x", "a://b", "://", "x: y=z"}) {
    CAPTURE(text);
    CHECK(redact(text) == text);
  }
  for (const char* text : {"host=a password=x user=b", R"({"password":"x"} y)", "postgres://u:p@h", "token: 'a' b"}) {
    CHECK(redact(redact(text)) == redact(text));
  }
}

TEST_CASE("control path: the configuration, the unit's directory, the fixed place") {
  ratchet::Settings settings;
  CHECK(control_path(settings) == "/run/ratchetd/control.sock");
  {
    const Variable variable("RUNTIME_DIRECTORY", "/run/a:/run/b");
    CHECK(control_path(settings) == "/run/a/control.sock");
    CHECK(ratchet::default_control_path() == "/run/a/control.sock");
    settings.ops.control = "/tmp/x.sock";
    CHECK(control_path(settings) == "/tmp/x.sock");
  }
}
