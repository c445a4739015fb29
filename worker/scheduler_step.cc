#include <algorithm>
#include <utility>

#include "worker/scheduler_impl.h"

namespace phalanx {
namespace {

// What prefill gets of `limit` rows although decodes could fill it: a quarter, and where there is
// but one row, every other step.
int32_t PrefillShare(int32_t limit, int64_t step) {
  if (limit == 1) return static_cast<int32_t>(step % 2);
  return std::max(1, limit / 4);
}

bool InOrder(const Sequence* a, const Sequence* b) { return a->order < b->order; }

}  // namespace

StepPlan Scheduler::Impl::Schedule() {
  PHALANX_CHECK(in_flight.empty());
  ++step;
  left = {config.limits.max_num_tokens, config.max_num_logit_rows};
  MakeWay();

  std::vector<Sequence*> decodes;
  std::vector<Sequence*> prefills;
  for (Sequence* sequence : running) {
    (sequence->is_decode() ? decodes : prefills).push_back(sequence);
  }
  const bool prefill_is_due =
      !prefills.empty() || due != nullptr || (HasPlace() && waiting.Next() != nullptr);
  StepRows share;
  if (prefill_is_due) share = {PrefillShare(left.tokens, step), PrefillShare(left.logits, step)};
  const int32_t num_decodes = static_cast<int32_t>(decodes.size());
  // Where not all decodes fit, those that have waited longest go first.
  const int32_t num_first =
      std::min({num_decodes, left.tokens - share.tokens, left.logits - share.logits});
  if (num_first < num_decodes) {
    std::ranges::stable_sort(decodes, {}, &Sequence::last_scheduled_step);
    std::sort(decodes.begin(), decodes.begin() + num_first, InOrder);
  }
  const auto first_end = decodes.begin() + num_first;
  std::for_each(decodes.begin(), first_end, [this](Sequence* s) { ScheduleDecode(*s); });
  // What is left now counts: decodes that found no block have taken nothing.
  const int32_t num_rest = num_decodes - num_first;
  prefill_left = {std::max(left.tokens - num_rest, share.tokens),
                  std::max(left.logits - num_rest, share.logits)};
  for (Sequence* sequence : prefills) SchedulePrefill(*sequence);
  waits_for_blocks = preempted_at_step == step || !AdmitWaiting();
  std::for_each(first_end, decodes.end(), [this](Sequence* s) { ScheduleDecode(*s); });
  return MakePlan();
}

void Scheduler::Impl::ScheduleDecode(Sequence& sequence) {
  // An earlier one may have preempted it in this step.
  if (!sequence.is_running() || left.tokens == 0 || left.logits == 0) return;
  if (GrantTokens(sequence, 1) == 1) ScheduleTokens(sequence, 1);
}

void Scheduler::Impl::SchedulePrefill(Sequence& sequence) {
  if (!sequence.is_running()) return;
  const int32_t wanted = ChunkTokens(sequence, sequence.num_computed);
  if (wanted == 0) return;
  const int32_t granted = GrantTokens(sequence, wanted);
  if (granted > 0) ScheduleChunk(sequence, granted);
}

int64_t Scheduler::Impl::SpareBlocks() const {
  int64_t spare_blocks = blocks.manager().num_available();
  for (const Sequence* sequence : running) {
    spare_blocks -=
        blocks.NumBlocksWanted(*sequence) - static_cast<int64_t>(sequence->block_table.size());
  }
  return spare_blocks;
}

bool Scheduler::Impl::AdmitWaiting() {
  if (due == nullptr && !HasPlace()) return true;
  // A sequence is admitted only where all its known tokens find room besides what the running ones
  // will need soon: what begins its prompt should not be thrown out before its first token.
  int64_t spare_blocks = SpareBlocks();
  while (due != nullptr || HasPlace()) {
    Sequence* sequence = NextToAdmit();
    if (sequence == nullptr) return true;
    // At least one new block is needed, for the last known token.
    if (spare_blocks <= 0) {
      due = nullptr;
      return false;
    }
    const PrefixMatch match = blocks.FindPrefix(*sequence);
    const int64_t needed = blocks.NumBlocksWanted(*sequence) - match.num_referenced;
    const int32_t num_cached = static_cast<int32_t>(match.blocks.size()) * config.limits.block_size;
    const int32_t num_tokens = ChunkTokens(*sequence, num_cached);
    if (needed > spare_blocks) {
      if (std::exchange(due, nullptr) != nullptr) continue;  // in its place of the order, then
      return false;
    }
    if (num_tokens == 0) return true;
    Admit(*sequence, match);
    PHALANX_CHECK_EQ(blocks.Grow(*sequence, num_tokens), num_tokens);
    ScheduleChunk(*sequence, num_tokens);
    spare_blocks -= needed;
  }
  return true;
}

void Scheduler::Impl::Admit(Sequence& sequence, const PrefixMatch& match) {
  waiting.Remove(sequence);
  if (due == &sequence) due = nullptr;
  running.insert(std::ranges::upper_bound(running, &sequence, InOrder), &sequence);
  if (sequence.share != 0) ++shares[sequence.share].num_running;
  sequence.slot = free_slots.top();
  free_slots.pop();
  slots[static_cast<size_t>(sequence.slot)] = &sequence;
  blocks.TakePrefix(sequence, match);
  if (sequence.num_cached_prompt < 0) {
    sequence.num_cached_prompt = std::min(sequence.num_computed, sequence.num_prompt);
    counters.prefix_cache_queries += sequence.num_tokens();
    counters.prefix_cache_hits += sequence.num_computed;
  }
}

int32_t Scheduler::Impl::ChunkTokens(const Sequence& sequence, int32_t num_computed) const {
  const int32_t logits = std::min(prefill_left.logits, left.logits);
  const int32_t remaining = sequence.num_tokens() - num_computed;
  const int32_t num_tokens = std::min({remaining, prefill_left.tokens, left.tokens});
  // A long prompt that needs all its logits leaves some to prompts that need their last one.
  if (sequence.needs_prompt_logits()) return std::min(num_tokens, logits - logits / 4);
  return num_tokens == remaining && logits == 0 ? num_tokens - 1 : num_tokens;
}

int32_t Scheduler::Impl::NumLogits(const Sequence& sequence, int32_t num_computed,
                                   int32_t num_tokens) const {
  if (sequence.needs_prompt_logits()) return num_tokens;
  return num_computed + num_tokens == sequence.num_tokens() ? 1 : 0;
}

int32_t Scheduler::Impl::GrantTokens(Sequence& sequence, int32_t num_tokens) {
  int32_t granted = blocks.Grow(sequence, num_tokens);
  // The first of the running sequences can push out all others and fits alone, so it goes on in
  // any case, and with it, in the end, everybody.
  while (granted == 0 && running.back() != &sequence) {
    Preempt(*running.back());
    preempted_at_step = step;
    ++counters.num_preemptions;
    granted = blocks.Grow(sequence, num_tokens);
  }
  return granted;
}

void Scheduler::Impl::Preempt(Sequence& sequence) {
  left.tokens += sequence.num_scheduled;
  left.logits += NumLogits(sequence, sequence.num_computed, sequence.num_scheduled);
  Leave(sequence);
  Vacate(sequence);
  waiting.Push(sequence);
}

int32_t Scheduler::Impl::ScheduleTokens(Sequence& sequence, int32_t num_tokens) {
  const int32_t num_logits = NumLogits(sequence, sequence.num_computed, num_tokens);
  sequence.num_scheduled = num_tokens;
  sequence.last_scheduled_step = step;
  left.tokens -= num_tokens;
  left.logits -= num_logits;
  return num_logits;
}

void Scheduler::Impl::ScheduleChunk(Sequence& sequence, int32_t num_tokens) {
  prefill_left.logits -= ScheduleTokens(sequence, num_tokens);
  prefill_left.tokens -= num_tokens;
}

StepPlan Scheduler::Impl::MakePlan() {
  StepPlan plan;
  for (Sequence* sequence : running) {
    if (sequence->num_scheduled > 0) in_flight.push_back(sequence);
  }
  if (in_flight.empty()) return plan;
  std::stable_partition(in_flight.begin(), in_flight.end(),
                        [](const Sequence* sequence) { return sequence->is_decode(); });
  plan.step = ++plan_step;
  counters.step_tokens.Add(config.limits.max_num_tokens - left.tokens);
  plan.work.reserve(in_flight.size());
  for (Sequence* sequence : in_flight) {
    const auto prompt_end = sequence->tokens.begin() + sequence->num_prompt;
    if (!sequence->slot_is_ready) {
      plan.inits.push_back({.slot = sequence->slot,
                            .params = sequence->params,
                            .prompt_ids = {sequence->tokens.begin(), prompt_end},
                            .emitted_ids = {prompt_end, sequence->tokens.end()}});
      sequence->slot_is_ready = true;
      sequence->num_told = sequence->num_tokens();
    }
    SequenceWork& work = plan.work.emplace_back();
    work.slot = sequence->slot;
    work.start_position = sequence->num_computed;
    work.block_table = sequence->block_table;
    const auto begin = sequence->tokens.begin() + sequence->num_computed;
    const auto end = begin + sequence->num_scheduled;
    if (sequence->is_decode()) {
      work.tokens = {kLastSample};
    } else {
      work.tokens.assign(begin, end);
    }
    const int32_t end_position = sequence->num_computed + sequence->num_scheduled;
    work.num_forced = std::max(end_position - sequence->num_told, 0);
    sequence->num_told = std::max(end_position, sequence->num_told);
    if (end == sequence->tokens.end()) work.sample = SequenceWork::Sample::kLast;
    const int32_t num_logits =
        NumLogits(*sequence, sequence->num_computed, sequence->num_scheduled);
    for (int32_t i = sequence->num_scheduled - num_logits; i < sequence->num_scheduled; ++i) {
      work.logit_offsets.push_back(i);
    }
  }
  return plan;
}

}  // namespace phalanx
