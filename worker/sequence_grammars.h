// The grammars of the sequences under way: what each may say next. Rank 0 only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"
#include "kernels/base/status.h"
#include "worker/scheduler.h"
#include "worker/token_masks.h"

namespace phalanx {

// What one sequence may say: a matcher that follows what it has emitted, which no preemption takes
// back, so it outlives the slots that the sequence has had.
class SequenceGrammar {
 public:
  SequenceGrammar(std::unique_ptr<GrammarMatcher> matcher, const SamplingParams& params,
                  int32_t vocab_size);

  // False: the grammar does not allow it.
  bool Accept(int32_t token_id);
  bool finished() const { return matcher_->finished(); }
  // Valid until the next Accept.
  std::span<const uint32_t> Mask();
  // The next token, where there is but one to choose from and nothing about it is asked of the
  // model. Sampling could only choose the same. `index`: its place in the output.
  std::optional<int32_t> Forced(int32_t index);

 private:
  std::unique_ptr<GrammarMatcher> matcher_;
  int32_t force_from_;          // the first index of the output at which a token may be forced
  std::vector<uint32_t> mask_;  // as GrammarMatcher::FillMask writes it
  bool mask_is_current_ = false;
};

class SequenceGrammars {
 public:
  explicit SequenceGrammars(int32_t vocab_size) : vocab_size_(vocab_size) {}

  // A grammar that has seen the request's emitted ids; null for a request without one.
  // INVALID_ARGUMENT naming "emitted_ids" where the grammar does not allow them.
  StatusOr<std::unique_ptr<SequenceGrammar>> Replay(const EngineRequest& request) const;

  void Start(uint64_t request, std::unique_ptr<SequenceGrammar> grammar);
  void End(uint64_t request) { grammars_.erase(request); }

  // A row for each sequence of the plan that is sampled and has a grammar, in plan order.
  void FillMasks(const StepPlan& plan, const Scheduler& scheduler, TokenMasks& masks);

  // The request's next token. INTERNAL where its grammar does not allow it.
  Status Accept(uint64_t request, int32_t token_id);

  // Accepts and returns the request's token at `index` of its output where that one is forced.
  std::optional<int32_t> AcceptForced(uint64_t request, int32_t index);

 private:
  int32_t vocab_size_;
  std::unordered_map<uint64_t, std::unique_ptr<SequenceGrammar>> grammars_;
};

}  // namespace phalanx
