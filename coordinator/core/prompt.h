// From what a client sent to prompt token ids.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/core/limits.h"
#include "coordinator/core/served_model.h"
#include "kernels/base/status.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx {

struct Prompt {
  std::vector<int32_t> ids;  // not empty, all below the model's vocab_size
  std::string text;          // as given or as the template made it; empty where ids were given
};

// All: INVALID_ARGUMENT naming the field, its value and what is allowed.
StatusOr<Prompt> BuildPrompt(const v1::GenerateRequest& request, const ServedModel& model,
                             const Limits& limits);
StatusOr<Prompt> BuildPrompt(const v1::ChatRequest& request, const ServedModel& model,
                             const Limits& limits);
// Tokenize's: the text may be empty.
StatusOr<Prompt> BuildPrompt(const v1::TokenizeRequest& request, const ServedModel& model,
                             const Limits& limits);

}  // namespace phalanx
