#include "coordinator/core/choice_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "grammar/grammar_spec.h"

namespace phalanx {
namespace {

// In memory, and no more as JSON.
constexpr size_t kBytesPerToken = 8;
constexpr size_t kBytesPerLogprob = 96;

std::string_view BytesOf(const Tokenizer* tokenizer, int32_t id) {
  return tokenizer == nullptr ? std::string_view() : tokenizer->TokenBytes(id);
}

// `grammar_field`: the client's name of the request's grammar.
Status EngineError(const internal::RequestOutput& output, std::string_view grammar_field) {
  const int code = output.error_code();
  const bool known = code > 0 && code <= static_cast<int>(StatusCode::kUnauthenticated);
  std::string message = output.error();
  std::string_view field = output.error_field();
  if (field == kGrammarField) {
    if (message.starts_with(field)) message.replace(0, field.size(), grammar_field);
    field = grammar_field;
  }
  return Status(known ? static_cast<StatusCode>(code) : StatusCode::kInternal, std::move(message))
      .WithField(field);
}

v1::FinishReason ReasonOf(internal::EngineFinish finish) {
  switch (finish) {
    case internal::ENGINE_FINISH_EOS:
    case internal::ENGINE_FINISH_STOP_TOKEN:
      return v1::FINISH_REASON_STOP;
    case internal::ENGINE_FINISH_LENGTH:
      return v1::FINISH_REASON_LENGTH;
    default:
      return v1::FINISH_REASON_CANCELLED;
  }
}

}  // namespace

void FillLogprob(const internal::TokenInfo& token, const Tokenizer* tokenizer,
                 v1::TokenLogprob* out) {
  out->set_token_id(token.token_id());
  out->set_logprob(token.logprob());
  out->set_rank(token.rank());
  const std::string_view bytes = BytesOf(tokenizer, token.token_id());
  out->set_token(bytes.data(), bytes.size());
  for (const internal::Alternative& alternative : token.top()) {
    v1::TopLogprob* top = out->add_top();
    top->set_token_id(alternative.token_id());
    top->set_logprob(alternative.logprob());
    const std::string_view top_bytes = BytesOf(tokenizer, alternative.token_id());
    top->set_token(top_bytes.data(), top_bytes.size());
  }
}

StatusOr<ChoiceOutput> ChoiceOutput::Create(int32_t index, std::string_view request_id,
                                            const Tokenizer* tokenizer,
                                            const RequestParams& params) {
  std::optional<StopMatcher> matcher;
  if (!params.stop.empty()) {
    PHALANX_ASSIGN_OR_RETURN(
        matcher, StopMatcher::Create(params.stop, StopOptions{.stop_text = params.stop_text}));
  }
  return ChoiceOutput(index, request_id, tokenizer, params, std::move(matcher));
}

ChoiceOutput::ChoiceOutput(int32_t index, std::string_view request_id, const Tokenizer* tokenizer,
                           const RequestParams& params, std::optional<StopMatcher> matcher)
    : tokenizer_(tokenizer),
      matcher_(std::move(matcher)),
      stop_(params.stop),
      eos_token_ids_(params.engine.eos_token_ids().begin(), params.engine.eos_token_ids().end()),
      stop_text_(params.stop_text),
      grammar_field_(params.engine.grammar().field()),
      min_tokens_(params.engine.min_tokens()),
      wants_logprobs_(params.engine.logprobs() >= 0) {
  if (tokenizer != nullptr) {
    detokenizer_.emplace(*tokenizer, DecodeOptions{.special_tokens = params.special_tokens});
  }
  if (params.reasoning == Reasoning::kApart) splitter_.emplace();
  pending_.set_index(index);
  if (params.tool_calls.parsing != ToolParsing::kOff) SetToolCalls(request_id, params);
}

void ChoiceOutput::SetToolCalls(std::string_view request_id, const RequestParams& params) {
  tool_calls_.emplace(params.tool_calls, fmt::format("{}/{}", request_id, pending_.index()));
  if (!params.tool_calls.are_forced()) return;
  if (params.engine.grammar().has_start_after()) {
    grammar_start_after_ = params.engine.grammar().start_after();
  } else {
    tool_calls_->TrustFormat();
  }
}

// Ids that the tokenizer does not know have no text: a model's embedding may have more rows.
std::string ChoiceOutput::TextOf(int32_t id) {
  if (!detokenizer_ || !tokenizer_->IsKnown(id)) return {};
  StatusOr<std::string> text = detokenizer_->Append(id);
  return text.ok() ? *std::move(text) : std::string();
}

void ChoiceOutput::AppendText(std::string_view text) {
  if (splitter_) {
    AppendPieces(splitter_->Append(text));
  } else {
    AppendContent(text);
  }
}

void ChoiceOutput::AppendPieces(const ReasoningSplitter::Pieces& pieces) {
  pending_.mutable_reasoning_delta()->append(pieces.reasoning);
  AppendContent(pieces.content);
}

void ChoiceOutput::AppendContent(std::string_view content) {
  if (tool_calls_) {
    tool_calls_->Append(content, &pending_);
  } else {
    pending_.mutable_text_delta()->append(content);
  }
}

// The token that ends a sequence is counted and reported, but its text is no part of the answer
// unless include_stop_str_in_output asks for it (vLLM's rule).
bool ChoiceOutput::IsFinalStopToken(const internal::RequestOutput& output, int32_t position) const {
  if (position + 1 != output.tokens_size() || stop_text_ == StopText::kInclude) return false;
  const int32_t id = output.tokens(position).token_id();
  if (output.finish() == internal::ENGINE_FINISH_STOP_TOKEN) return id == output.stop_token_id();
  return output.finish() == internal::ENGINE_FINISH_EOS &&
         std::find(eos_token_ids_.begin(), eos_token_ids_.end(), id) != eos_token_ids_.end();
}

// True: a stop string is complete.
bool ChoiceOutput::AppendToken(const internal::TokenInfo& token, std::string_view text) {
  emitted_ids_.push_back(token.token_id());
  pending_.add_token_ids(token.token_id());
  // Thinking that seemed to end before its token, in letters, is followed by what no grammar holds.
  if (token.token_id() == grammar_start_after_ && !splitter_->has_ended()) {
    tool_calls_->TrustFormat();
  }
  pending_bytes_ += kBytesPerToken + text.size();
  if (wants_logprobs_) {
    FillLogprob(token, tokenizer_, pending_.add_logprobs());
    pending_bytes_ += kBytesPerLogprob * (1 + static_cast<size_t>(token.top_size()));
  }
  if (!matcher_) {
    AppendText(text);
    return false;
  }
  // No stop string may end within the first min_tokens tokens; one that begins there and ends later
  // counts (vLLM's rule).
  if (emitted_ids_.size() <= static_cast<size_t>(min_tokens_)) {
    AppendText(matcher_->Pass(text));
    return false;
  }
  const StopMatcher::Output matched = matcher_->Append(text);
  AppendText(matched.text);
  if (!matched.stop_index) return false;
  pending_.set_stop_reason(stop_[*matched.stop_index]);
  return true;
}

StatusOr<ChoiceOutput::Progress> ChoiceOutput::Accept(const internal::RequestOutput& output) {
  if (ended_) return Progress::kEnded;
  if (output.finish() == internal::ENGINE_FINISH_ERROR) return EngineError(output, grammar_field_);
  const auto next = static_cast<int64_t>(emitted_ids_.size());
  if (output.tokens_size() > 0 && output.first_index() > next) {
    return InternalError("the worker sent output index {} where {} was next", output.first_index(),
                         next);
  }
  const int64_t known = next - output.first_index();
  for (int64_t i = std::max<int64_t>(known, 0); i < output.tokens_size(); ++i) {
    const auto position = static_cast<int32_t>(i);
    const internal::TokenInfo& token = output.tokens(position);
    const bool silent = IsFinalStopToken(output, position);
    if (AppendToken(token, silent ? std::string() : TextOf(token.token_id()))) {
      End(v1::FINISH_REASON_STOP);
      const bool worker_ended =
          output.finish() != internal::ENGINE_FINISH_NONE && position + 1 == output.tokens_size();
      return worker_ended ? Progress::kEnded : Progress::kStoppedByText;
    }
  }
  if (output.finish() == internal::ENGINE_FINISH_NONE) return Progress::kRunning;
  if (output.finish() == internal::ENGINE_FINISH_STOP_TOKEN) {
    pending_.set_stop_reason(std::to_string(output.stop_token_id()));
  }
  Finish(ReasonOf(output.finish()));
  return Progress::kEnded;
}

void ChoiceOutput::FlushText() {
  std::string text = detokenizer_ ? detokenizer_->Flush() : std::string();
  if (matcher_) {
    AppendText(matcher_->Pass(text));
    text = matcher_->Flush();
  }
  AppendText(text);
}

void ChoiceOutput::Finish(v1::FinishReason reason) {
  FlushText();
  End(reason);
}

// All text has been appended.
void ChoiceOutput::End(v1::FinishReason reason) {
  if (splitter_) AppendPieces(splitter_->Finish());
  if (tool_calls_) {
    tool_calls_->Finish(&pending_);
    reason = tool_calls_->ReasonFor(reason);
  }
  ended_ = true;
  finish_reason_ = reason;
  pending_.set_finish_reason(reason);
}

}  // namespace phalanx
