// The grammars of the sequences under way: what each may say next. Rank 0 only.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "grammar/grammar.h"
#include "kernels/base/status.h"
#include "worker/scheduler.h"
#include "worker/token_masks.h"

namespace phalanx {

// A matcher follows what its sequence has emitted, which no preemption takes back, so it outlives
// the slots that the sequence has had.
class SequenceGrammars {
 public:
  // A matcher that has seen the request's emitted ids; null for a request without a grammar.
  // INVALID_ARGUMENT naming "emitted_ids" where the grammar does not allow them.
  static StatusOr<std::unique_ptr<GrammarMatcher>> Replay(const EngineRequest& request);

  void Start(uint64_t request, std::unique_ptr<GrammarMatcher> matcher);
  void End(uint64_t request) { matchers_.erase(request); }

  // A row for each sequence of the plan that is sampled and has a grammar, in plan order.
  void FillMasks(const StepPlan& plan, const Scheduler& scheduler, TokenMasks& masks);

  // The request's next token. INTERNAL where its grammar does not allow it.
  Status Accept(uint64_t request, int32_t token_id);

 private:
  std::unordered_map<uint64_t, std::unique_ptr<GrammarMatcher>> matchers_;
};

}  // namespace phalanx
