#include "worker/scheduler.h"

#include <algorithm>
#include <limits>

#include "worker/scheduler_impl.h"

namespace phalanx {
namespace {

Status CheckTokens(std::string_view field, const std::vector<int32_t>& ids, int32_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size) {
      return InvalidField(field, fmt::format("{} at index {}", ids[i], i),
                          fmt::format("token ids from 0 to {}", vocab_size - 1));
    }
  }
  return OkStatus();
}

GroupGate GateFor(PrefixCaching caching) {
  return caching == PrefixCaching::kOn ? GroupGate::kOn : GroupGate::kOff;
}

}  // namespace

Scheduler::Impl::Impl(const SchedulerConfig& scheduler_config)
    : config(scheduler_config),
      blocks(config.limits, config.prefix_caching),
      waiting(GateFor(config.prefix_caching), config.limits.block_size),
      most_running(config.limits.max_num_seqs) {
  PHALANX_CHECK_GT(config.limits.max_num_seqs, 0);
  PHALANX_CHECK_GT(config.limits.max_num_tokens, 0);
  PHALANX_CHECK_GT(config.limits.max_model_len, 0);
  PHALANX_CHECK_GT(config.limits.vocab_size, 0);
  PHALANX_CHECK_GT(config.max_num_logit_rows, 0);
  PHALANX_CHECK_GT(config.aging_steps, 0);
  PHALANX_CHECK_LE(config.aging_steps, std::numeric_limits<int32_t>::max());
  slots.resize(static_cast<size_t>(config.limits.max_num_seqs));
  for (int32_t slot = 0; slot < config.limits.max_num_seqs; ++slot) free_slots.push(slot);
}

Status Scheduler::Impl::CheckRequest(const EngineRequest& request) const {
  const PlanLimits& limits = config.limits;
  if (request.id == 0 || sequences.contains(request.id)) {
    return InvalidField("id", request.id, "an id that is not 0 and not in use");
  }
  // The last token of the output is never an input, so it takes no room in the pool.
  const int64_t pool_tokens = limits.num_blocks * limits.block_size + 1;
  const int64_t most_tokens = std::min<int64_t>(limits.max_model_len, pool_tokens);
  const int64_t num_prompt = static_cast<int64_t>(request.prompt_ids.size());
  const std::string bounds =
      fmt::format("max_model_len is {}, the KV cache has {} blocks of {} tokens",
                  limits.max_model_len, limits.num_blocks, limits.block_size);
  if (num_prompt == 0 || num_prompt >= most_tokens) {
    return InvalidField("prompt", fmt::format("{} tokens", num_prompt),
                        fmt::format("1 to {} tokens ({})", most_tokens - 1, bounds));
  }
  PHALANX_RETURN_IF_ERROR(CheckTokens("prompt", request.prompt_ids, limits.vocab_size));
  PHALANX_RETURN_IF_ERROR(Validate(request.params, limits.vocab_size));
  if (request.params.max_tokens > most_tokens - num_prompt) {
    return InvalidField("max_tokens", request.params.max_tokens,
                        fmt::format("1 to {} after a prompt of {} tokens ({})",
                                    most_tokens - num_prompt, num_prompt, bounds));
  }
  PHALANX_RETURN_IF_ERROR(CheckTokens("emitted_ids", request.emitted_ids, limits.vocab_size));
  if (request.emitted_ids.size() >= static_cast<size_t>(request.params.max_tokens)) {
    return InvalidField(
        "emitted_ids", fmt::format("{} tokens", request.emitted_ids.size()),
        fmt::format("fewer than max_tokens, which is {}", request.params.max_tokens));
  }
  return OkStatus();
}

Status Scheduler::Impl::Add(EngineRequest request) {
  PHALANX_RETURN_IF_ERROR(CheckRequest(request));
  auto sequence = std::make_unique<Sequence>();
  sequence->id = request.id;
  sequence->group = request.group;
  sequence->order.arrival = ++num_arrivals;
  sequence->order.rank = request.fair_start;
  sequence->share = request.share;
  if (config.policy == SchedulingPolicy::kPriority) {
    // Waiting `aging_steps` steps is worth one level of priority: compared at any later step, the
    // difference of two aged priorities is that of these ranks.
    sequence->order.rank = request.priority * config.aging_steps + step;
    sequence->share = 0;
  }
  sequence->params = std::move(request.params);
  sequence->cache_salt = std::move(request.cache_salt);
  sequence->num_prompt = static_cast<int32_t>(request.prompt_ids.size());
  sequence->tokens = std::move(request.prompt_ids);
  sequence->tokens.insert(sequence->tokens.end(), request.emitted_ids.begin(),
                          request.emitted_ids.end());
  waiting.JoinGroup(*sequence);
  JoinShare(sequence->share);
  waiting.Push(*sequence);
  sequences.emplace(request.id, std::move(sequence));
  return OkStatus();
}

bool Scheduler::Impl::Cancel(uint64_t request) {
  const auto it = sequences.find(request);
  if (it == sequences.end()) return false;
  Sequence& sequence = *it->second;
  waiting.LeaveGroup(sequence);
  LeaveShare(sequence.share);
  if (due == &sequence) due = nullptr;
  if (!sequence.is_running()) {
    waiting.Remove(sequence);
  } else {
    Leave(sequence);
    if (sequence.num_scheduled == 0) {
      Vacate(sequence);
    } else {
      sequence.is_cancelled = true;
      cancelled.push_back(std::move(it->second));
    }
  }
  sequences.erase(it);
  return true;
}

void Scheduler::Impl::Leave(Sequence& sequence) {
  std::erase(running, &sequence);
  if (sequence.share != 0) --shares[sequence.share].num_running;
}

void Scheduler::Impl::Vacate(Sequence& sequence) {
  blocks.Release(sequence);
  slots[static_cast<size_t>(sequence.slot)] = nullptr;
  free_slots.push(sequence.slot);
  sequence.slot = -1;
  sequence.slot_is_ready = false;
  sequence.slot_has_sample = false;
  sequence.num_told = 0;
  sequence.num_scheduled = 0;
}

std::vector<TokenOutput> Scheduler::Impl::Commit(const std::vector<SampledToken>& samples) {
  std::vector<TokenOutput> outputs;
  outputs.reserve(samples.size());
  auto sample = samples.begin();
  for (Sequence* sequence : in_flight) {
    const int32_t num_computed = sequence->num_computed + sequence->num_scheduled;
    const bool is_sampled = num_computed == sequence->num_tokens();
    if (is_sampled) {
      PHALANX_CHECK(sample != samples.end());
      PHALANX_CHECK_EQ(sample->slot, sequence->slot);
    }
    const auto own_sample = is_sampled ? sample++ : samples.end();
    // A cancelled sequence may have failed, with KV that is not worth sharing.
    if (!sequence->is_cancelled) {
      const bool prompt_was_computed = sequence->num_computed >= sequence->num_prompt;
      if (sequence->share != 0) shares[sequence->share].num_tokens += sequence->num_scheduled;
      sequence->num_computed = num_computed;
      sequence->num_scheduled = 0;
      blocks.PublishComputed(*sequence);
      if (!prompt_was_computed && num_computed >= sequence->num_prompt) {
        waiting.PromptComputed(*sequence);
      }
      if (is_sampled) outputs.push_back(AppendSample(*sequence, own_sample->token_id));
    } else {
      Vacate(*sequence);
    }
  }
  PHALANX_CHECK(sample == samples.end());
  in_flight.clear();
  cancelled.clear();
  return outputs;
}

TokenOutput Scheduler::Impl::AppendSample(Sequence& sequence, int32_t token_id) {
  // Whoever samples a token knows it; AppendToken may end the sequence.
  sequence.slot_has_sample = true;
  ++sequence.num_told;
  return AppendToken(sequence, token_id);
}

TokenOutput Scheduler::Impl::AppendForced(uint64_t request, int32_t token_id) {
  PHALANX_CHECK(in_flight.empty());
  const auto found = sequences.find(request);
  PHALANX_CHECK(found != sequences.end());
  PHALANX_CHECK(found->second->is_running());
  found->second->slot_has_sample = false;
  return AppendToken(*found->second, token_id);
}

TokenOutput Scheduler::Impl::AppendToken(Sequence& sequence, int32_t token_id) {
  PHALANX_CHECK_GE(token_id, 0);
  PHALANX_CHECK_LT(token_id, config.limits.vocab_size);
  const TokenOutput output{.request = sequence.id,
                           .slot = sequence.slot,
                           .index = sequence.num_emitted(),
                           .token_id = token_id,
                           .finish = ReasonToFinish(sequence, token_id),
                           .cached_tokens = sequence.num_cached_prompt};
  if (output.finish == FinishReason::kNone) {
    sequence.tokens.push_back(token_id);
    return output;
  }
  waiting.LeaveGroup(sequence);
  LeaveShare(sequence.share);
  Leave(sequence);
  Vacate(sequence);
  sequences.erase(sequence.id);
  return output;
}

FinishReason Scheduler::Impl::ReasonToFinish(const Sequence& sequence, int32_t token_id) const {
  const SamplingParams& params = sequence.params;
  if (std::ranges::binary_search(params.eos_token_ids, token_id)) return FinishReason::kEos;
  if (std::ranges::binary_search(params.stop_token_ids, token_id)) return FinishReason::kStopToken;
  // Add() made sure that max_tokens ends a sequence before max_model_len does.
  if (sequence.num_emitted() + 1 >= params.max_tokens) return FinishReason::kLength;
  return FinishReason::kNone;
}

Scheduler::Scheduler(const SchedulerConfig& config) : impl_(std::make_unique<Impl>(config)) {}
Scheduler::~Scheduler() = default;

Status Scheduler::Add(EngineRequest request) { return impl_->Add(std::move(request)); }
bool Scheduler::Cancel(uint64_t request) { return impl_->Cancel(request); }
bool Scheduler::HasWork() const { return !impl_->sequences.empty(); }

void Scheduler::LimitRunning(int32_t most) {
  PHALANX_CHECK_GT(most, 0);
  impl_->most_running = std::min(most, impl_->config.limits.max_num_seqs);
}

StepPlan Scheduler::Schedule() { return impl_->Schedule(); }

uint64_t Scheduler::RequestInSlot(int32_t slot) const {
  if (slot < 0 || static_cast<size_t>(slot) >= impl_->slots.size()) return 0;
  const Sequence* sequence = impl_->slots[static_cast<size_t>(slot)];
  return sequence == nullptr ? 0 : sequence->id;
}

std::vector<TokenOutput> Scheduler::Commit(const std::vector<SampledToken>& samples) {
  return impl_->Commit(samples);
}

TokenOutput Scheduler::Append(uint64_t request, int32_t token_id) {
  return impl_->AppendForced(request, token_id);
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = impl_->counters;
  stats.num_running = static_cast<int32_t>(impl_->running.size());
  stats.num_waiting = static_cast<int32_t>(impl_->waiting.size());
  stats.num_places = impl_->waits_for_blocks ? std::max(stats.num_running, 1) : impl_->most_running;
  stats.num_free_blocks = impl_->blocks.manager().num_available();
  stats.num_cached_blocks = impl_->blocks.manager().num_evictable();
  return stats;
}

}  // namespace phalanx
