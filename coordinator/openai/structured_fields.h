// The fields that say what an answer must fit: OpenAI's response_format, vLLM's structured_outputs
// and the guided_* that came before it. One of them may be given.
#pragma once

#include <span>

#include "coordinator/openai/call.h"
#include "coordinator/openai/field_table.h"

namespace phalanx::openai {

std::span<const FieldRow<Call>> StructuredRows();

}  // namespace phalanx::openai
