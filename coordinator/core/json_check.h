// Bounds on JSON text that a client sent, before anything is built from it.
#pragma once

#include <string_view>

#include "coordinator/core/limits.h"
#include "kernels/base/status.h"

namespace phalanx {

// OK: `text` is one JSON object, at most limits.max_json_depth deep, with at most
// limits.max_json_keys keys, none twice in one object. INVALID_ARGUMENT naming `field` otherwise,
// and the key in it where a number is too large.
// Nothing is built; memory is what the keys take.
Status CheckJsonObject(std::string_view field, std::string_view text, const Limits& limits);

}  // namespace phalanx
