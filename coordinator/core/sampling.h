// From the sampling parameters that a client sent to those that a worker gets: every absent field
// filled, every present one checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/limits.h"
#include "coordinator/core/served_model.h"
#include "coordinator/core/tool_call_output.h"
#include "kernels/base/status.h"
#include "phalanx/internal/engine.pb.h"
#include "phalanx/v1/inference.pb.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace phalanx {

// What max_tokens is where neither the request nor the model says it.
enum class DefaultMaxTokens {
  kSixteen,        // Generate
  kRestOfContext,  // Chat
};

enum class Echo { kNo, kYes };

enum class Reasoning {
  kInText,
  kApart,  // by ReasoningSplitter
};

struct RequestParams {
  internal::ResolvedSampling engine;  // of choice 0; max_tokens is set by FitToContext
  std::optional<int32_t> max_tokens;  // as asked
  DefaultMaxTokens default_max_tokens = DefaultMaxTokens::kSixteen;
  int32_t num_choices = 1;
  std::vector<std::string> stop;
  StopText stop_text = StopText::kDrop;
  SpecialTokenText special_tokens = SpecialTokenText::kSkip;
  Echo echo = Echo::kNo;
  Reasoning reasoning = Reasoning::kInText;
  ToolCallRules tool_calls;
};

// INVALID_ARGUMENT naming "sampling.FIELD", its value and what is allowed. A seed is drawn where
// none is given. The meaning of each field is in inference.proto.
StatusOr<RequestParams> ResolveSampling(const v1::SamplingParams& request, const ServedModel& model,
                                        const Limits& limits, DefaultMaxTokens default_max_tokens);

// Settles max_tokens for a prompt of `num_prompt_tokens` in a context of `max_model_len` tokens.
// INVALID_ARGUMENT where prompt and max_tokens can never fit, or min_tokens exceeds max_tokens.
Status FitToContext(int32_t num_prompt_tokens, int32_t max_model_len, RequestParams* params);

}  // namespace phalanx
