// One choice of a request: from the worker's tokens to what the client reads. Owns the emitted ids,
// the detokenizer and the stop matcher, and collects the next message.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/reasoning_splitter.h"
#include "coordinator/core/sampling.h"
#include "coordinator/core/tool_call_output.h"
#include "kernels/base/status.h"
#include "phalanx/internal/engine.pb.h"
#include "phalanx/v1/inference.pb.h"
#include "text/detokenizer.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace phalanx {

// Fills `out`; the token's bytes come from `tokenizer`, which may be null.
void FillLogprob(const internal::TokenInfo& token, const Tokenizer* tokenizer,
                 v1::TokenLogprob* out);

// Not thread-safe.
class ChoiceOutput {
 public:
  enum class Progress {
    kRunning,
    kStoppedByText,  // a stop string is complete: the worker does not know yet
    kEnded,          // by the worker
  };

  // `tokenizer` (null: the model has none) must outlive it. INVALID_ARGUMENT: a stop string.
  static StatusOr<ChoiceOutput> Create(int32_t index, std::string_view request_id,
                                       const Tokenizer* tokenizer, const RequestParams& params);

  // Text that goes before the generated one and is not searched for stop strings.
  void Prepend(std::string_view text) { pending_.mutable_text_delta()->append(text); }

  // Takes the tokens from the next index on; earlier ones, which were here before, are skipped.
  // INTERNAL where an index is missing, and where the worker reports an error without a code; its
  // other errors pass with their code. Nothing is taken after the end.
  StatusOr<Progress> Accept(const internal::RequestOutput& output);
  void Finish(v1::FinishReason reason);

  bool ended() const { return ended_; }
  const std::vector<int32_t>& emitted_ids() const { return emitted_ids_; }
  v1::FinishReason finish_reason() const { return finish_reason_; }

  // What has not been sent. The caller swaps it away, then calls Sent().
  v1::StreamResponse& pending() { return pending_; }
  size_t pending_bytes() const { return pending_bytes_; }  // an estimate
  void Sent() { pending_bytes_ = 0; }

 private:
  ChoiceOutput(int32_t index, std::string_view request_id, const Tokenizer* tokenizer,
               const RequestParams& params, std::optional<StopMatcher> matcher);
  void SetToolCalls(std::string_view request_id, const RequestParams& params);
  bool AppendToken(const internal::TokenInfo& token, std::string_view text);
  std::string TextOf(int32_t id);
  void AppendText(std::string_view text);
  void AppendPieces(const ReasoningSplitter::Pieces& pieces);
  void AppendContent(std::string_view content);
  bool IsFinalStopToken(const internal::RequestOutput& output, int32_t position) const;
  void FlushText();
  void End(v1::FinishReason reason);

  const Tokenizer* tokenizer_;
  std::optional<IncrementalDetokenizer> detokenizer_;
  std::optional<StopMatcher> matcher_;          // none: no stop strings
  std::optional<ReasoningSplitter> splitter_;   // none: thinking is text
  std::optional<ToolCallOutput> tool_calls_;    // none: calls are text
  std::optional<int32_t> grammar_start_after_;  // a token; none: no call is forced behind one
  std::vector<std::string> stop_;
  std::vector<int32_t> eos_token_ids_;
  StopText stop_text_;
  std::string grammar_field_;  // the client's name of it
  int32_t min_tokens_;
  bool wants_logprobs_;
  std::vector<int32_t> emitted_ids_;
  v1::StreamResponse pending_;
  size_t pending_bytes_ = 0;
  v1::FinishReason finish_reason_ = v1::FINISH_REASON_UNSPECIFIED;
  bool ended_ = false;
};

}  // namespace phalanx
