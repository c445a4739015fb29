#include "worker/step_plan.h"

#include <algorithm>
#include <span>

namespace phalanx {
namespace {

Status CheckTokens(std::string_view field, std::span<const int32_t> ids, int32_t vocab_size) {
  for (int32_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      return InvalidField(field, id, fmt::format("token ids from 0 to {}", vocab_size - 1));
    }
  }
  return OkStatus();
}

// Marks the slot; an error where it is out of range or already marked.
Status ClaimSlot(std::string_view field, int32_t slot, std::vector<bool>& claimed) {
  if (slot < 0 || static_cast<size_t>(slot) >= claimed.size()) {
    return InvalidField(field, slot, fmt::format("0 to {}", claimed.size() - 1));
  }
  if (claimed[static_cast<size_t>(slot)]) {
    return InvalidField(field, slot, "each slot at most once in a plan");
  }
  claimed[static_cast<size_t>(slot)] = true;
  return OkStatus();
}

Status ValidateInit(const SlotInit& init, const PlanLimits& limits) {
  PHALANX_RETURN_IF_ERROR(Validate(init.params, limits.vocab_size));
  PHALANX_RETURN_IF_ERROR(CheckTokens("inits.prompt_ids", init.prompt_ids, limits.vocab_size));
  PHALANX_RETURN_IF_ERROR(CheckTokens("inits.emitted_ids", init.emitted_ids, limits.vocab_size));
  const size_t num_tokens = init.prompt_ids.size() + init.emitted_ids.size();
  if (num_tokens > static_cast<size_t>(limits.max_model_len)) {
    return InvalidField("inits.emitted_ids", fmt::format("{} tokens with the prompt", num_tokens),
                        fmt::format("at most {}", limits.max_model_len));
  }
  return OkStatus();
}

Status ValidateTokens(const SequenceWork& work, bool slot_has_sample, const PlanLimits& limits) {
  if (work.tokens.empty()) return InvalidField("work.tokens", "empty", "at least one token");
  const bool ends_with_sample = work.tokens.back() == kLastSample;
  if (ends_with_sample && !slot_has_sample) {
    return InvalidField("work.tokens", kLastSample,
                        fmt::format("a literal, as slot {} is initialised here", work.slot));
  }
  std::span<const int32_t> literals = work.tokens;
  if (ends_with_sample) literals = literals.first(literals.size() - 1);
  PHALANX_RETURN_IF_ERROR(CheckTokens("work.tokens", literals, limits.vocab_size));
  // A slot that is initialised here is told of all its output at once.
  const int64_t most_forced =
      ends_with_sample || !slot_has_sample ? 0 : static_cast<int64_t>(literals.size());
  if (work.num_forced < 0 || work.num_forced > most_forced) {
    return InvalidField("work.num_forced", work.num_forced, fmt::format("0 to {}", most_forced));
  }
  const int64_t end = int64_t{work.start_position} + static_cast<int64_t>(work.tokens.size());
  if (work.start_position < 0 || end > limits.max_model_len) {
    return InvalidField("work.start_position",
                        fmt::format("{} with {} tokens", work.start_position, work.tokens.size()),
                        fmt::format("positions from 0 to {}", limits.max_model_len - 1));
  }
  return OkStatus();
}

Status ValidateBlockTable(const SequenceWork& work, const PlanLimits& limits) {
  const int64_t end = int64_t{work.start_position} + static_cast<int64_t>(work.tokens.size());
  const int64_t size = static_cast<int64_t>(work.block_table.size());
  const int64_t most = (int64_t{limits.max_model_len} + limits.block_size - 1) / limits.block_size;
  if (size * limits.block_size < end || size > most) {
    return InvalidField("work.block_table", fmt::format("{} blocks for {} positions", size, end),
                        fmt::format("{} blocks or more, at most {}",
                                    (end + limits.block_size - 1) / limits.block_size, most));
  }
  for (int32_t block : work.block_table) {
    if (block < 0 || block >= limits.num_blocks) {
      return InvalidField("work.block_table", block, fmt::format("0 to {}", limits.num_blocks - 1));
    }
  }
  return OkStatus();
}

Status ValidateLogitOffsets(const SequenceWork& work) {
  int64_t previous = -1;
  for (int32_t offset : work.logit_offsets) {
    if (offset <= previous || offset >= static_cast<int64_t>(work.tokens.size())) {
      return InvalidField(
          "work.logit_offsets", offset,
          fmt::format("ascending, {} to {}", previous + 1, int64_t(work.tokens.size()) - 1));
    }
    previous = offset;
  }
  if (work.sample == SequenceWork::Sample::kLast &&
      previous + 1 != static_cast<int64_t>(work.tokens.size())) {
    return InvalidField("work.logit_offsets", previous,
                        "to end with the last token where that is sampled from");
  }
  return OkStatus();
}

// Two sequences writing one block would corrupt each other silently.
Status CheckWrittenOnce(const StepPlan& plan, const PlanLimits& limits) {
  std::vector<int32_t> written;
  for (const SequenceWork& work : plan.work) {
    const int64_t end = int64_t{work.start_position} + static_cast<int64_t>(work.tokens.size());
    const int64_t first = work.start_position / limits.block_size;
    const int64_t last = (end - 1) / limits.block_size;
    written.insert(written.end(), work.block_table.begin() + first,
                   work.block_table.begin() + last + 1);
  }
  std::ranges::sort(written);
  const auto twice = std::ranges::adjacent_find(written);
  if (twice == written.end()) return OkStatus();
  return InvalidField("work.block_table", *twice, "each block written at most once in a plan");
}

}  // namespace

Status Validate(const StepPlan& plan, const PlanLimits& limits) {
  if (plan.kind != StepPlan::Kind::kRun) {
    if (plan.inits.empty() && plan.work.empty()) return OkStatus();
    return InvalidField("kind", static_cast<int>(plan.kind), "only kRun (0) with inits or work");
  }
  std::vector<bool> initialised(static_cast<size_t>(limits.max_num_seqs));
  for (const SlotInit& init : plan.inits) {
    PHALANX_RETURN_IF_ERROR(ClaimSlot("inits.slot", init.slot, initialised));
    PHALANX_RETURN_IF_ERROR(ValidateInit(init, limits));
  }
  std::vector<bool> working(static_cast<size_t>(limits.max_num_seqs));
  size_t num_tokens = 0;
  for (const SequenceWork& work : plan.work) {
    PHALANX_RETURN_IF_ERROR(ClaimSlot("work.slot", work.slot, working));
    PHALANX_RETURN_IF_ERROR(
        ValidateTokens(work, !initialised[static_cast<size_t>(work.slot)], limits));
    PHALANX_RETURN_IF_ERROR(ValidateBlockTable(work, limits));
    PHALANX_RETURN_IF_ERROR(ValidateLogitOffsets(work));
    num_tokens += work.tokens.size();
  }
  if (num_tokens > static_cast<size_t>(limits.max_num_tokens)) {
    return InvalidField("work.tokens", fmt::format("{} in all", num_tokens),
                        fmt::format("at most {} a step", limits.max_num_tokens));
  }
  return CheckWrittenOnce(plan, limits);
}

}  // namespace phalanx
