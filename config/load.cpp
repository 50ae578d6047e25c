#include "config/load.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "config/json_reader.hpp"
#include "config/loader.hpp"

namespace ratchet {

namespace {

std::string this_host() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

}  // namespace

Loaded load(std::string_view json_text, std::string file_name, std::string hostname) {
  JsonRead read = read_json(json_text);
  if (!read.value) {
    Loaded out;
    out.mistakes.push_back({std::move(file_name), read.error.line, "",
                            read.error.text + " (column " + std::to_string(read.error.column) + ", byte " +
                                std::to_string(read.error.offset) + ")",
                            "JSON (RFC 8259)", ""});
    return out;
  }
  return read_settings(*read.value, std::move(file_name), hostname.empty() ? this_host() : std::move(hostname));
}

Loaded load_file(const std::string& path, std::string hostname) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  if (file) {
    text.resize(kMaxJsonBytes + 1);
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  }
  if (!file.is_open() || file.bad()) {
    Loaded out;
    out.mistakes.push_back(
        {path, 0, "", std::generic_category().message(errno != 0 ? errno : EIO), "a readable file", ""});
    return out;
  }
  return load(text, path, std::move(hostname));
}

std::string to_string(const Mistake& mistake) {
  std::string out = mistake.file;
  if (mistake.line > 0) out += ":" + std::to_string(mistake.line);
  out += ": " + (mistake.pointer.empty() ? "" : mistake.pointer + ": ") + "found: " + mistake.found +
         ", expected: " + mistake.expected;
  if (!mistake.did_you_mean.empty()) out += "; did you mean " + mistake.did_you_mean + "?";
  return out;
}

std::string to_string(const std::vector<Mistake>& mistakes) {
  std::string out;
  for (const Mistake& mistake : mistakes)
    out += to_string(mistake) + "\n";
  return out;
}

}  // namespace ratchet
