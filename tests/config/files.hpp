// The shipped configuration files, and a way to change one member of them.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "config/load.hpp"

namespace ratchet::test {

using Json = nlohmann::ordered_json;

inline std::string shipped(const std::string& name) {
  std::ifstream file(std::string(RATCHET_SOURCE_DIR "/config/") + name);
  if (!file) throw std::runtime_error("no config/" + name);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline Json smallest() { return Json::parse(shipped("smallest.json")); }
inline Json full() { return Json::parse(shipped("ratchetd.json")); }

inline Loaded load(const Json& json) { return ratchet::load(json.dump(), "test.json", "host-1"); }

// The smallest file with one member set ("/database/pools/main/size").
inline Json with(const std::string& pointer, const Json& value) {
  Json out = smallest();
  out[Json::json_pointer(pointer)] = value;
  return out;
}
inline Loaded load_with(const std::string& pointer, const Json& value) { return load(with(pointer, value)); }

inline std::optional<Mistake> mistake_at(const Loaded& loaded, const std::string& pointer) {
  for (const Mistake& m : loaded.mistakes) {
    if (m.pointer == pointer) return m;
  }
  return std::nullopt;
}

}  // namespace ratchet::test
