// The chat templates that are rendered without an interpreter. Each function follows its template
// statement by statement, also where that seems odd: the model was trained on what the template
// writes.
#pragma once

#include <optional>
#include <string>

#include "kernels/base/status.h"
#include "text/chat_template.h"

namespace phalanx {

// Qwen2.5's. `default_system` is used where the first message is no system message.
StatusOr<std::string> RenderQwen25(const ChatRequest& request, const std::string& default_system);

// Qwen2's, Qwen1.5's and plain ChatML; nullopt: no default system message.
StatusOr<std::string> RenderChatMl(const ChatRequest& request,
                                   const std::optional<std::string>& default_system);

enum class PastThinking { kKept, kDropped };

struct DeepSeekR1Options {
  std::string bos_token;
  std::string generation_prompt;                        // with or without an opened <think>
  PastThinking past_thinking = PastThinking::kDropped;  // of earlier answers
};

// DeepSeek-R1-Distill's.
StatusOr<std::string> RenderDeepSeekR1(const ChatRequest& request,
                                       const DeepSeekR1Options& options);

}  // namespace phalanx
