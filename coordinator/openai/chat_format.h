// Chat answers: chat.completion and chat.completion.chunk.
//
// A choice's first chunk carries the role together with the first token; then come deltas, then a
// chunk with finish_reason and an empty delta. A message without text gives a chunk only where
// something else was asked of it (the role, log-probabilities, token ids, usage).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "coordinator/openai/answer_format.h"
#include "coordinator/openai/call.h"

namespace phalanx::openai {

class ChatFormat final : public AnswerFormat {
 public:
  explicit ChatFormat(const ChatCall& call);

  void Begin(AnswerHead head, std::vector<std::vector<int32_t>> prompt_ids) override;
  void AppendMessage(size_t part, const v1::StreamResponse& message, std::string* out) override;
  void AppendEnd(std::string* out) override;
  std::string Whole(std::span<const v1::GenerateResponse> parts) override;
  std::span<const Renaming> words() const override { return words_; }

 private:
  struct Choice {
    bool has_role = false;
    int64_t num_tokens = 0;
  };

  Choice& ChoiceOf(int32_t index);
  // A chunk with a piece of content or of reasoning_content.
  void AppendTextChunk(std::string_view key, std::string_view text, int32_t index,
                       const v1::StreamResponse* message, Choice* choice, std::string* out);
  void OpenChunk(int32_t index, Choice* choice, std::string* out);
  void CloseChunk(const v1::StreamResponse* message, const Choice& choice, std::string* out);
  void AppendCallDelta(int32_t index, const v1::ToolCallDelta& delta,
                       const v1::StreamResponse* message, Choice* choice, std::string* out);
  void AppendMessageOf(const v1::Choice& choice, std::string* out) const;
  void AppendWholeChoice(const v1::Choice& choice, std::string* out) const;

  const AnswerOptions options_;
  const bool is_forced_;  // a call
  const ReasoningText reasoning_;
  const bool logprobs_;
  const google::protobuf::RepeatedPtrField<std::string> stop_;
  std::vector<Renaming> words_;
  AnswerHead head_;
  std::vector<int32_t> prompt_ids_;
  std::string chunk_head_;  // of every chunk, up to the choice's index
  std::vector<Choice> choices_;
  UsageCount usage_;
  bool has_sent_prompt_ids_ = false;
};

}  // namespace phalanx::openai
