// Whether calls of tools are looked for in an answer, and what makes it call one: a grammar of
// calls in the Hermes format that Qwen2.5 writes and core/tool_call_parser.h reads, with arguments
// that fit the tool's parameters.
#pragma once

#include "coordinator/core/limits.h"
#include "coordinator/core/sampling.h"
#include "coordinator/core/served_model.h"
#include "kernels/base/status.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx {

// Sets out->tool_calls and, where a call is asked for, the grammar. `out` has the request's
// sampling already. INVALID_ARGUMENT naming "tool_choice": no such tool, or combined with what it
// cannot be; "tools_json[i]...": parameters that are no schema within the limits; "tools_json": too
// many.
Status ResolveToolChoice(const v1::ChatRequest& request, const ServedModel& model,
                         const Limits& limits, RequestParams* out);

}  // namespace phalanx
