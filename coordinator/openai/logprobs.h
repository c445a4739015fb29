// Log-probabilities in the formats of the two endpoints, and of vLLM's prompt_logprobs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "phalanx/v1/inference.pb.h"
#include "text/tokenizer.h"

namespace phalanx::openai {

using TokenLogprobs = google::protobuf::RepeatedPtrField<v1::TokenLogprob>;

// Chat: {"content":[{token, logprob, bytes, top_logprobs}]}. `bytes` are the token's own, where the
// token is a part of a character, too.
void AppendChatLogprobs(const TokenLogprobs& tokens, std::string* out);

// Text completions: {tokens, token_logprobs, top_logprobs, text_offset}. An alternative that looks
// like one before it (both a broken character) is left out, as in vLLM.
class CompletionLogprobs {
 public:
  // The first prompt token has neither a probability nor alternatives.
  void AddPrompt(const TokenLogprobs& tokens);
  void Add(const TokenLogprobs& tokens);
  bool empty() const { return tokens_.empty(); }
  // Empties it; the next tokens' offsets, in characters of the whole text, go on.
  void AppendTo(std::string* out);

 private:
  void AddToken(const v1::TokenLogprob& token);

  std::string tokens_;  // each list without its brackets
  std::string token_logprobs_;
  std::string top_logprobs_;
  std::string text_offset_;
  int64_t offset_ = 0;
};

// vLLM's prompt_logprobs: [null, {"id":{logprob, rank, decoded_token}}, ...].
void AppendPromptLogprobs(const TokenLogprobs& tokens, std::string* out);

}  // namespace phalanx::openai
