// Chat answers: chat.completion and chat.completion.chunk.
//
// A choice's first chunk carries the role together with the first token; then come deltas, then a
// chunk with finish_reason and an empty delta. A message without text gives a chunk only where
// something else was asked of it (the role, log-probabilities, token ids, usage).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "coordinator/core/limits.h"
#include "coordinator/core/tool_call_parser.h"
#include "coordinator/openai/answer_format.h"
#include "coordinator/openai/call.h"

namespace phalanx::openai {

class ChatFormat final : public AnswerFormat {
 public:
  ChatFormat(const ChatCall& call, const Limits& limits);

  void Begin(AnswerHead head, std::vector<std::vector<int32_t>> prompt_ids) override;
  void AppendMessage(size_t part, const v1::StreamResponse& message, std::string* out) override;
  void AppendEnd(std::string* out) override;
  std::string Whole(std::span<const v1::GenerateResponse> parts) override;
  std::span<const Renaming> words() const override { return words_; }

 private:
  struct Choice {
    bool has_role = false;
    int64_t num_tokens = 0;
    int32_t num_calls = 0;  // that were sent
    std::optional<ToolCallParser> parser;
  };

  ToolCallParser NewParser() const { return ToolCallParser(limits_); }
  Choice& ChoiceOf(int32_t index);
  // The events of a piece of text; calls beyond the one that was allowed are left out.
  std::vector<ToolCallEvent> Parse(const v1::StreamResponse& message, Choice* choice);
  // A chunk with a piece of content or of reasoning_content.
  void AppendTextChunk(std::string_view key, std::string_view text, int32_t index,
                       const v1::StreamResponse* message, Choice* choice, std::string* out);
  void OpenChunk(int32_t index, Choice* choice, std::string* out);
  void CloseChunk(const v1::StreamResponse* message, const Choice& choice, std::string* out);
  void AppendCallDelta(int32_t index, const ToolCallEvent& event, const v1::StreamResponse* message,
                       Choice* choice, std::string* out);
  std::string CallId(int32_t choice, int32_t call) const;
  void AppendWholeChoice(const v1::Choice& choice, std::string* out);
  bool IsForced() const;
  void AppendReason(v1::FinishReason reason, int32_t num_calls, std::string* out) const;

  const AnswerOptions options_;
  const ToolParsing tool_parsing_;
  const ToolChoice tool_choice_;
  const ReasoningText reasoning_;
  const bool logprobs_;
  const Limits limits_;
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
