// Answers as the JSON that `phalanx` prints.
#pragma once

#include <nlohmann/json.hpp>

#include "client/streamed_answer.h"

namespace phalanx {

// {"id", "text", "token_ids", "logprobs", "finish_reason", "stop_reason", "usage", "timings"},
// those of the first choice; with more than one choice also "choices", and "prompt_logprobs" where
// asked for. "logprobs" is null where none came. "tool_calls" and "reasoning_content" are there
// where the answer has some.
nlohmann::ordered_json ToJson(const StreamedAnswer& answer);

// {"code", "message"} and, where known, "field".
nlohmann::ordered_json ToJson(const Status& status);

// One line; what is no UTF-8 becomes U+FFFD.
std::string ToLine(const nlohmann::ordered_json& json);

}  // namespace phalanx
