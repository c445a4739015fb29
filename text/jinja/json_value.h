// JSON text as a template's values.
#pragma once

#include <string_view>

#include "kernels/base/status.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

// What Python's json.loads gives: integers of any size, objects in their order. INVALID_ARGUMENT
// naming `field` where `text` is no JSON, has an object with one key twice, or is nested deeper
// than 64.
StatusOr<Value> ValueFromJson(std::string_view field, std::string_view text);

}  // namespace phalanx::jinja
