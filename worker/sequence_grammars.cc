#include "worker/sequence_grammars.h"

#include <algorithm>
#include <utility>

namespace phalanx {

StatusOr<std::unique_ptr<GrammarMatcher>> SequenceGrammars::Replay(const EngineRequest& request) {
  if (request.grammar == nullptr) return std::unique_ptr<GrammarMatcher>();
  auto matcher = request.grammar->NewMatcher(request.params.eos_token_ids);
  for (size_t i = 0; i < request.emitted_ids.size(); ++i) {
    if (!matcher->Accept(request.emitted_ids[i]) || matcher->finished()) {
      return InvalidField("emitted_ids", fmt::format("{} at index {}", request.emitted_ids[i], i),
                          "tokens of an unfinished text that the grammar allows");
    }
  }
  return matcher;
}

void SequenceGrammars::Start(uint64_t request, std::unique_ptr<GrammarMatcher> matcher) {
  matchers_[request] = std::move(matcher);
}

void SequenceGrammars::FillMasks(const StepPlan& plan, const Scheduler& scheduler,
                                 TokenMasks& masks) {
  masks.Clear();
  for (const SequenceWork& work : plan.work) {
    if (work.sample != SequenceWork::Sample::kLast) continue;
    const auto found = matchers_.find(scheduler.RequestInSlot(work.slot));
    if (found == matchers_.end()) continue;
    const std::span<uint32_t> words = masks.Add();
    if (found->second->FillMask(words) == GrammarMatcher::Mask::kEverything) {
      std::ranges::fill(words, ~uint32_t{0});
    }
  }
}

Status SequenceGrammars::Accept(uint64_t request, int32_t token_id) {
  const auto found = matchers_.find(request);
  if (found == matchers_.end() || found->second->Accept(token_id)) return OkStatus();
  return InternalError("token {} was sampled, which the grammar does not allow", token_id);
}

}  // namespace phalanx
