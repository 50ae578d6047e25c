// The small syntaxes inside the configuration's strings. Each function answers whether, or why not; none throws.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/settings.hpp"

namespace ratchet {

// "127.0.0.1:8080", "[::1]:8080": numeric, port 1..65535. The host comes back in its canonical form.
std::optional<ListenAddress> parse_address(std::string_view text);
// The same, or "unix:/run/ratchetd/http.sock": absolute, at most 107 bytes, printable.
std::optional<ListenAddress> parse_listen(std::string_view text);
// "kafka-1.example:9092", "[::1]:9092".
bool is_endpoint(std::string_view text);
// By Kafka's rules, 1..249 characters.
bool is_topic(std::string_view text) noexcept;
// Why a text is no path for an event route; empty: it is one.
std::string route_path_fault(std::string_view text, std::size_t longest);
// Printable ASCII without spaces.
bool is_visible(std::string_view text) noexcept;
// A name in PostgreSQL pools, metrics and logs: [A-Za-z0-9_-], 1..32.
bool is_pool_name(std::string_view text) noexcept;
bool is_attribute_name(std::string_view text) noexcept;  // [a-z0-9]+
// A name as librdkafka has them: [a-z0-9._], 1..100.
bool is_property_name(std::string_view text) noexcept;
// A name of an environment variable.
bool is_variable_name(std::string_view text) noexcept;
// For a mistake's text: in quotes, control characters escaped, cut after 80 bytes.
std::string shown(std::string_view text);

}  // namespace ratchet
