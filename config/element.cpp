#include "config/element.hpp"

#include "config/network.hpp"
#include "config/syntax.hpp"

namespace ratchet {

bool is_element(const Key& row, std::string_view text) {
  const auto size = static_cast<std::int64_t>(text.size());
  const bool in_range = size >= row.range.least && size <= row.range.most;
  if (text.find('\0') != std::string_view::npos) return false;
  switch (row.shape) {
    case Shape::endpoint:
      return is_endpoint(text);
    case Shape::network:
      return parse_network(text).has_value();
    case Shape::control_point:
      return is_endpoint(text) || (text.size() > 1 && text.size() < 108 && text[0] == '/');
    case Shape::argument:
      return in_range;
    case Shape::attribute:
      return in_range && is_attribute_name(text);
    default:
      return true;
  }
}

}  // namespace ratchet
