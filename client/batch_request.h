// One line of a batch.
//
//   {"id": any, "prompt": TEXT | "prompt_ids": [..] | "messages": [{"role", "content", ...}],
//    "tools": [..], "tool_choice", "parallel_tool_calls": bool, "add_generation_prompt": bool,
//    "continue_final_message": bool, "model": NAME, "priority": INT, "cache_salt": TEXT, any
//    sampling parameter}
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <variant>

#include "kernels/base/status.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx {

using BatchRequest = std::variant<v1::GenerateRequest, v1::ChatRequest>;

// `defaults` hold where the line says nothing. INVALID_ARGUMENT with the field for what is unknown,
// missing or of the wrong type; values are judged by the server.
StatusOr<BatchRequest> ParseBatchRequest(const nlohmann::json& line,
                                         const v1::SamplingParams& defaults);

}  // namespace phalanx
