// Text completions: text_completion, whole and as a stream of the same object.
#pragma once

#include <vector>

#include "coordinator/openai/answer_format.h"
#include "coordinator/openai/call.h"
#include "coordinator/openai/logprobs.h"

namespace phalanx::openai {

// Choice c of prompt p has the index p * n + c. The last chunk of a choice carries its
// finish_reason beside the last text.
class CompletionFormat final : public AnswerFormat {
 public:
  explicit CompletionFormat(const CompletionCall& call);

  void Begin(AnswerHead head, std::vector<std::vector<int32_t>> prompt_ids) override;
  void AppendMessage(size_t part, const v1::StreamResponse& message, std::string* out) override;
  void AppendEnd(std::string* out) override;
  std::string Whole(std::span<const v1::GenerateResponse> parts) override;
  std::span<const Renaming> words() const override { return words_; }

 private:
  struct Choice {
    bool has_begun = false;
    int64_t num_tokens = 0;
    CompletionLogprobs logprobs;
  };
  struct Part {
    UsageCount usage;
    TokenLogprobs prompt_logprobs;
    std::vector<int32_t> prompt_ids;
    std::vector<Choice> choices;
  };

  void AppendChoice(size_t part, const v1::Choice& choice, const TokenLogprobs& prompt_logprobs,
                    std::string* out);
  void AppendTokenIds(const Part& part, const google::protobuf::RepeatedField<int32_t>& ids,
                      Choice* choice, std::string* out) const;
  void AppendChunkUsage(const Part& part, const Choice& choice, std::string* out) const;
  int64_t IndexOf(size_t part, int32_t choice) const;

  const AnswerOptions options_;
  const int32_t n_;
  const bool logprobs_;
  const bool echo_;
  const bool wants_prompt_logprobs_;  // as a field of their own
  const google::protobuf::RepeatedPtrField<std::string> stop_;
  const std::vector<Renaming> words_;
  AnswerHead head_;
  std::string chunk_head_;
  std::vector<Part> parts_;
};

}  // namespace phalanx::openai
