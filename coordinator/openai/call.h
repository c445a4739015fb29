// A request of the two generating endpoints, parsed: what goes down the request path, and how the
// answer is to be written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/limits.h"
#include "coordinator/openai/errors.h"
#include "coordinator/openai/unknown_fields.h"
#include "kernels/base/status.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx::openai {

struct ParseContext {
  const Limits& limits;
  UnknownFields& unknown;
};

// How the answer is written.
struct AnswerOptions {
  bool stream = false;
  bool include_usage = false;           // a last chunk with the usage
  bool continuous_usage_stats = false;  // and, beside it, the usage so far in every chunk
  bool return_token_ids = false;
};

// What both endpoints take.
struct Call {
  UnknownFields* unknown = nullptr;  // of the handler, while the fields are read
  v1::SamplingParams sampling;
  std::string model;
  std::string request_id;
  std::string cache_salt;
  int32_t priority = 0;
  std::optional<int32_t> best_of;
  AnswerOptions answer;
  bool has_stream_options = false;
  std::vector<Renaming> words;  // what the client called fields that have several names
};

enum class ToolChoice {
  kUnset,
  kNone,
  kAuto,
  kRequired,  // one call or more
  kNamed,     // a call of one function
};

enum class ReasoningText { kInclude, kDrop };

struct ChatCall : Call {
  v1::ChatRequest request;  // with all of Call's
  bool logprobs = false;
  std::optional<int32_t> top_logprobs;
  std::optional<int32_t> max_completion_tokens;
  ToolChoice tool_choice = ToolChoice::kUnset;
  ReasoningText reasoning = ReasoningText::kInclude;

  // The answer has to be calls.
  bool is_forced() const {
    return tool_choice == ToolChoice::kRequired || tool_choice == ToolChoice::kNamed;
  }
};

struct CompletionCall : Call {
  std::vector<v1::GenerateRequest> requests;  // one for each prompt, with all of Call's
  bool has_prompt_list = false;
};

}  // namespace phalanx::openai
