// What `ratchetd reference` and `ratchetd reference --schema` print; both are walks over the table of keys.
#pragma once

#include <string>

namespace ratchet {

std::string reference_text();  // for people: one paragraph per key
std::string schema_json();     // JSON Schema, draft 2020-12

}  // namespace ratchet
