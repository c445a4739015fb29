#include "worker/sequence_grammars.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "kernels/base/check.h"

namespace phalanx {
namespace {

// Log-probabilities come from the model; other bans may leave no token at all, which sampling
// reports; and a grammar does not know of min_tokens.
int32_t ForceFrom(const SamplingParams& params) {
  const bool asks_model = params.logprobs >= 0;
  const bool has_bans = !params.allowed_token_ids.empty() || !params.bad_words.empty();
  return asks_model || has_bans ? std::numeric_limits<int32_t>::max() : params.min_tokens;
}

// The index of the only bit that is set.
std::optional<int32_t> OnlyBit(std::span<const uint32_t> words) {
  const auto is_set = [](uint32_t word) { return word != 0; };
  const auto found = std::ranges::find_if(words, is_set);
  if (found == words.end() || !std::has_single_bit(*found)) return std::nullopt;
  if (std::any_of(found + 1, words.end(), is_set)) return std::nullopt;
  return static_cast<int32_t>(32 * (found - words.begin()) + std::countr_zero(*found));
}

}  // namespace

SequenceGrammar::SequenceGrammar(std::unique_ptr<GrammarMatcher> matcher,
                                 const SamplingParams& params, int32_t vocab_size)
    : matcher_(std::move(matcher)),
      force_from_(ForceFrom(params)),
      mask_(GrammarMaskWords(vocab_size)) {}

bool SequenceGrammar::Accept(int32_t token_id) {
  mask_is_current_ = false;
  return matcher_->Accept(token_id);
}

std::span<const uint32_t> SequenceGrammar::Mask() {
  if (!mask_is_current_) {
    std::ranges::fill(mask_, 0);
    if (matcher_->FillMask(mask_) == GrammarMatcher::Mask::kEverything) {
      std::ranges::fill(mask_, ~uint32_t{0});
    }
    mask_is_current_ = true;
  }
  return mask_;
}

std::optional<int32_t> SequenceGrammar::Forced(int32_t index) {
  if (index < force_from_ || finished()) return std::nullopt;
  return OnlyBit(Mask());
}

StatusOr<std::unique_ptr<SequenceGrammar>> SequenceGrammars::Replay(
    const EngineRequest& request) const {
  if (request.grammar == nullptr) return std::unique_ptr<SequenceGrammar>();
  auto grammar = std::make_unique<SequenceGrammar>(
      request.grammar->NewMatcher(request.params.eos_token_ids), request.params, vocab_size_);
  for (size_t i = 0; i < request.emitted_ids.size(); ++i) {
    if (!grammar->Accept(request.emitted_ids[i]) || grammar->finished()) {
      return InvalidField("emitted_ids", fmt::format("{} at index {}", request.emitted_ids[i], i),
                          "tokens of an unfinished text that the grammar allows");
    }
  }
  return grammar;
}

void SequenceGrammars::Start(uint64_t request, std::unique_ptr<SequenceGrammar> grammar) {
  grammars_[request] = std::move(grammar);
}

void SequenceGrammars::FillMasks(const StepPlan& plan, const Scheduler& scheduler,
                                 TokenMasks& masks) {
  masks.Clear();
  for (const SequenceWork& work : plan.work) {
    if (work.sample != SequenceWork::Sample::kLast) continue;
    const auto found = grammars_.find(scheduler.RequestInSlot(work.slot));
    if (found == grammars_.end()) continue;
    std::ranges::copy(found->second->Mask(), masks.Add().begin());
  }
}

Status SequenceGrammars::Accept(uint64_t request, int32_t token_id) {
  const auto found = grammars_.find(request);
  if (found == grammars_.end() || found->second->Accept(token_id)) return OkStatus();
  return InternalError("token {} was sampled, which the grammar does not allow", token_id);
}

std::optional<int32_t> SequenceGrammars::AcceptForced(uint64_t request, int32_t index) {
  const auto found = grammars_.find(request);
  if (found == grammars_.end()) return std::nullopt;
  const std::optional<int32_t> token_id = found->second->Forced(index);
  if (token_id) PHALANX_CHECK(found->second->Accept(*token_id));
  return token_id;
}

}  // namespace phalanx
