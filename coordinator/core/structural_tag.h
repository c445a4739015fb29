// The two forms of a structural tag that vLLM takes: a tree of formats, and the older list of
// structures with triggers.
#pragma once

#include <string>
#include <string_view>

#include "coordinator/core/limits.h"
#include "kernels/base/status.h"

namespace phalanx {

// `text` as a tree of formats, what grammar/structural_tag_size.h judges. The older form
//
//   {"structures": [{"begin": ..., "schema": ..., "end": ...}, ...], "triggers": [...]}
//
// is free text in which a trigger begins a structure. INVALID_ARGUMENT naming `field`: no JSON
// object within the limits, or neither form.
StatusOr<std::string> ToTagOfFormats(std::string_view field, const std::string& text,
                                     const Limits& limits);

}  // namespace phalanx
