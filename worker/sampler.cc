#include "worker/sampler.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/grammar_spec.h"
#include "kernels/base/check.h"
#include "worker/candidate_exchange.h"
#include "worker/sampling_step.h"
#include "worker/slot_state.h"
#include "worker/token_filter.h"

namespace phalanx {
namespace {

std::vector<Range> VocabularyShards(int64_t vocab_size, int num_ranks) {
  std::vector<Range> shards;
  for (int rank = 0; rank < num_ranks; ++rank) {
    shards.push_back(SplitRange(vocab_size, kShardUnit, rank, num_ranks));
  }
  return shards;
}

Status NotFinite() { return InternalError("the model produced logits that are not finite"); }

// What the request has beside a grammar or its allowed_token_ids that excludes tokens now.
std::string Excluders(const SlotState& slot) {
  const SamplingParams& params = slot.params();
  std::vector<std::string_view> names;
  const bool is_masked = params.constraint == Constraint::kMask;
  if (is_masked && !params.allowed_token_ids.empty()) names.emplace_back("allowed_token_ids");
  if (!params.bad_words.empty()) names.emplace_back("bad_words");
  if (slot.output_index() < params.min_tokens) names.emplace_back("min_tokens");
  return fmt::format("{}", fmt::join(names, " and "));
}

Status NoTokenLeft(const SlotState& slot) {
  const bool is_masked = slot.params().constraint == Constraint::kMask;
  const std::string_view field = is_masked ? kGrammarField : "sampling.allowed_token_ids";
  const std::string excluders = Excluders(slot);
  if (excluders.empty()) {
    return InvalidArgumentError(
               "{}: no token that fits can follow the text so far, allowed: what the tokens of the "
               "model can spell",
               field)
        .WithField(field);
  }
  return InvalidArgumentError(
             "{}: {} excluded every token that fits after the text so far, allowed: constraints "
             "that leave one",
             field, excluders)
      .WithField(field);
}

class ShardedSampler final : public Sampler {
 public:
  ShardedSampler(const SamplerOptions& options, const ShardSpec& shard, Backend& backend,
                 Communicator& communicator)
      : vocab_(shard.vocab),
        kept_logits_(options.kept_logits),
        backend_(backend),
        communicator_(communicator),
        shards_(VocabularyShards(options.vocab_size, shard.size)),
        slots_(static_cast<size_t>(options.max_num_seqs)),
        step_({.vocab_size = options.vocab_size, .top_p_candidates = options.top_p_candidates}),
        exchange_(shards_, communicator),
        row_gather_(shards_, communicator) {
    PHALANX_CHECK_EQ(shard.size, communicator.size());
    PHALANX_CHECK(shards_[static_cast<size_t>(shard.rank)] == vocab_);
    PHALANX_CHECK_EQ(kept_logits_.cols, vocab_.size());
    PHALANX_CHECK_EQ(kept_logits_.stride, vocab_.size());
  }

  void InitSlot(const SlotInit& init) override {
    slots_[static_cast<size_t>(init.slot)].Init(init);
  }
  void TakeForced(const SequenceWork& work) override {
    SlotState& slot = slots_[static_cast<size_t>(work.slot)];
    const std::span<const int32_t> tokens = work.tokens;
    for (const int32_t id : tokens.last(static_cast<size_t>(work.num_forced))) slot.Append(id);
  }
  int32_t LastSample(int32_t slot) const override {
    return slots_[static_cast<size_t>(slot)].last_sample();
  }
  size_t NumMasks(const StepPlan& plan) const override {
    return static_cast<size_t>(std::ranges::count_if(plan.work, [&](const SequenceWork& work) {
      return work.sample == SequenceWork::Sample::kLast &&
             slots_[static_cast<size_t>(work.slot)].params().constraint == Constraint::kMask;
    }));
  }
  StatusOr<std::vector<SampleResult>> Sample(const StepPlan& plan, const TensorView& logits,
                                             const TokenMasks& masks) override;

 private:
  size_t NumShards() const { return shards_.size(); }

  // Everything that happens on this shard alone, and the one exchange.
  Status SelectAndExchange(const TensorView& logits, const TokenMasks& masks);
  void Select(const TensorView& logits, size_t first_task, size_t num_tasks);
  void Adjust(const TensorView& logits, const TokenMasks& masks);
  Status RaiseMinLogits(const TensorView& logits);
  void FillExchange();

  // Everything that happens after it, the same on every rank.
  // Not OK: its request fails.
  Status FinishPromptRow(const PromptRow& row, SampleResult& result);
  bool HasNan(const SampledRow& row) const;
  StatusOr<TokenCandidate> Choose(const SampledRow& row, const TensorView& logits);
  TokenCandidate ChooseOfShards(const SampledRow& row) const;
  StatusOr<std::span<const TokenCandidate>> GatherRow(const SampledRow& row,
                                                      const TensorView& logits);
  TokenLogprobs Logprobs(size_t raw_task, int32_t token_id, float raw_logit, int32_t num_top);

  const Range vocab_;
  const TensorView kept_logits_;  // rows before they were adjusted
  Backend& backend_;
  Communicator& communicator_;
  const std::vector<Range> shards_;
  std::vector<SlotState> slots_;

  // One step's working set; capacity is kept between steps.
  SamplingStep step_;
  CandidateExchange exchange_;
  RowGather row_gather_;
  std::vector<CandidateResult> local_;  // per task
  std::vector<RowAdjustment> adjustments_;
  std::vector<CandidateTask> max_tasks_;
  std::vector<CandidateResult> max_results_;
  std::vector<float> max_send_, max_recv_;
  std::vector<TokenCandidate> kept_;
  std::vector<float> raw_row_;
};

// ------------------------------------------------------------------------------------------------
// On the shard

void ShardedSampler::Select(const TensorView& logits, size_t first_task, size_t num_tasks) {
  if (num_tasks == 0) return;
  const std::span<const CandidateTask> tasks = step_.tasks();
  if (local_.size() < tasks.size()) local_.resize(tasks.size());
  backend_.SelectCandidates(logits, vocab_.begin, tasks.subspan(first_task, num_tasks),
                            std::span(local_).subspan(first_task, num_tasks));
}

// min-p alone: the Gumbel argmax runs over tokens within reach of the best token of all shards.
Status ShardedSampler::RaiseMinLogits(const TensorView& logits) {
  max_tasks_.clear();
  for (const SampledRow& row : step_.sampled()) {
    if (row.NeedsMaximum()) max_tasks_.push_back({.row = row.row});
  }
  if (max_tasks_.empty()) return OkStatus();
  const size_t n = max_tasks_.size();
  if (max_results_.size() < n) max_results_.resize(n);
  backend_.SelectCandidates(logits, vocab_.begin, max_tasks_, std::span(max_results_).first(n));
  max_send_.resize(n);
  max_recv_.resize(n * NumShards());
  PHALANX_RETURN_IF_ERROR(backend_.Finish());
  for (size_t i = 0; i < n; ++i) max_send_[i] = max_results_[i].max;
  PHALANX_RETURN_IF_ERROR(communicator_.AllGather(std::as_bytes(std::span(max_send_)),
                                                  std::as_writable_bytes(std::span(max_recv_))));
  size_t i = 0;
  for (const SampledRow& row : step_.sampled()) {
    if (!row.NeedsMaximum()) continue;
    float best = max_recv_[i];
    for (size_t shard = 1; shard < NumShards(); ++shard) {
      best = std::max(best, max_recv_[shard * n + i]);
    }
    step_.tasks()[row.task].min_logit = MinLogit(best, row.params());
    ++i;
  }
  return OkStatus();
}

void ShardedSampler::Adjust(const TensorView& logits, const TokenMasks& masks) {
  adjustments_.clear();
  const auto num_raw = std::ranges::count_if(step_.sampled(), &SampledRow::WantsRaw);
  PHALANX_CHECK_LE(num_raw, kept_logits_.rows);
  // Null where this rank has no columns.
  float* raw = vocab_.size() == 0 ? nullptr : static_cast<float*>(kept_logits_.data);
  size_t next_mask = 0;
  for (SampledRow& row : step_.sampled()) {
    if (!row.adjusted) continue;
    std::span<const uint32_t> mask;
    if (row.params().constraint == Constraint::kMask) mask = masks.row(next_mask++);
    RowAdjustment& adjustment =
        adjustments_.emplace_back(row.slot->Adjustment(shards_.back().end, mask));
    adjustment.row = row.row;
    adjustment.slot = static_cast<int32_t>(row.slot - slots_.data());
    if (!row.WantsRaw()) continue;
    adjustment.kept = raw;
    row.raw = raw;
    step_.tasks()[row.task].raw = raw;
    raw += vocab_.size();
  }
  if (!adjustments_.empty()) backend_.AdjustLogits(logits, vocab_.begin, adjustments_);
}

void ShardedSampler::FillExchange() {
  exchange_.Start(step_.tasks());
  for (size_t t = 0; t < step_.tasks().size(); ++t) {
    const CandidateResult& result = local_[t];
    const bool has_raw = step_.tasks()[t].raw != nullptr;
    exchange_.mine(t) = {.sum_exp = result.sum_exp,
                         .gumbel_score = result.gumbel_score,
                         .num_nan = result.num_nan,
                         .max = result.max,
                         .target_logit = result.target_logit,
                         .gumbel = {.id = result.gumbel.id,
                                    .logit = result.gumbel.logit,
                                    .raw = has_raw ? result.gumbel_raw : result.gumbel.logit}};
    const std::span<TokenCandidate> mine = exchange_.my_candidates(t);
    for (size_t i = 0; i < result.candidates.size(); ++i) {
      const Candidate& candidate = result.candidates[i];
      mine[i] = {.id = candidate.id,
                 .logit = candidate.logit,
                 .raw = has_raw ? result.raw[i] : candidate.logit};
    }
  }
}

Status ShardedSampler::SelectAndExchange(const TensorView& logits, const TokenMasks& masks) {
  const size_t num_raw = step_.num_raw_tasks();
  Select(logits, 0, num_raw);
  Adjust(logits, masks);
  PHALANX_RETURN_IF_ERROR(RaiseMinLogits(logits));
  Select(logits, num_raw, step_.tasks().size() - num_raw);
  PHALANX_RETURN_IF_ERROR(backend_.Finish());
  FillExchange();
  return exchange_.Gather();
}

// ------------------------------------------------------------------------------------------------
// The same on every rank

TokenCandidate ShardedSampler::ChooseOfShards(const SampledRow& row) const {
  TokenCandidate chosen;
  double best_score = 0.0;
  for (size_t shard = 0; shard < NumShards(); ++shard) {
    const TaskRecord& record = exchange_.record(shard, row.task);
    // Shards ascend in ids, so a strict comparison gives ties to the lower id.
    if (record.gumbel.id < 0 || (chosen.id >= 0 && record.gumbel_score <= best_score)) continue;
    chosen = record.gumbel;
    best_score = record.gumbel_score;
  }
  return chosen;
}

// Every shard's adjusted row, and its raw row where log-probabilities are wanted.
StatusOr<std::span<const TokenCandidate>> ShardedSampler::GatherRow(const SampledRow& row,
                                                                    const TensorView& logits) {
  const auto on_host = [&](const float* columns) -> std::span<const float> {
    const TensorView view =
        backend_.HostView(MakeTensor(const_cast<float*>(columns), DType::kF32, 1, vocab_.size()));
    return {view.row<const float>(0), static_cast<size_t>(vocab_.size())};
  };
  if (row.WantsRaw()) {
    const std::span<const float> raw = on_host(row.raw);
    PHALANX_RETURN_IF_ERROR(backend_.Finish());
    raw_row_.assign(raw.begin(), raw.end());
  }
  const std::span<const float> adjusted = on_host(logits.row<const float>(row.row));
  PHALANX_RETURN_IF_ERROR(backend_.Finish());
  if (row.WantsRaw()) return row_gather_.Gather({adjusted, raw_row_});
  return row_gather_.Gather({adjusted});
}

// The id is -1 where no token can be chosen.
StatusOr<TokenCandidate> ShardedSampler::Choose(const SampledRow& row, const TensorView& logits) {
  if (row.method == SamplingMethod::kGumbel) return ChooseOfShards(row);
  CandidateMerge merge(exchange_.Lists(row.task));
  if (row.method == SamplingMethod::kGreedy) return merge.Next().value_or(TokenCandidate{});
  const SamplingParams& params = row.params();
  const double sum_exp =
      exchange_.Mass(row.task, static_cast<double>(InvTemperature(params))).sum_exp;
  if (FilterCandidates(merge, params, sum_exp, kept_) == Coverage::kNeedsFullRow) {
    PHALANX_ASSIGN_OR_RETURN(const std::span<const TokenCandidate> tokens, GatherRow(row, logits));
    const CandidateList full{.tokens = tokens, .truncated = false};
    CandidateMerge full_merge(std::span(&full, 1));
    PHALANX_CHECK(FilterCandidates(full_merge, params, sum_exp, kept_) == Coverage::kEnough);
  }
  if (kept_.empty()) return TokenCandidate{};
  return ChooseByGumbel(kept_, params, static_cast<uint32_t>(row.slot->output_index()));
}

TokenLogprobs ShardedSampler::Logprobs(size_t raw_task, int32_t token_id, float raw_logit,
                                       int32_t num_top) {
  const TotalMass mass = exchange_.Mass(raw_task, 1.0);
  const double log_sum_exp = mass.max + std::log(mass.sum_exp);
  const auto logprob = [&](float logit) {
    return static_cast<float>(static_cast<double>(logit) - log_sum_exp);
  };
  TokenLogprobs out{.token_id = token_id, .logprob = logprob(raw_logit), .rank = 0, .top = {}};
  CandidateMerge merge(exchange_.Lists(raw_task));
  for (int32_t i = 0; i < kMaxLogprobs; ++i) {
    const std::optional<TokenCandidate> token = merge.Next();
    if (!token) break;
    if (token->id == token_id) out.rank = i + 1;
    if (i < num_top) out.top.push_back({.token_id = token->id, .logprob = logprob(token->logit)});
  }
  return out;
}

Status ShardedSampler::FinishPromptRow(const PromptRow& row, SampleResult& result) {
  if (exchange_.NumNan(row.task) > 0) return NotFinite();
  size_t owner = 0;
  while (row.target >= shards_[owner].end) ++owner;
  const float target_logit = exchange_.record(owner, row.task).target_logit;
  result.prompt.push_back(Logprobs(row.task, row.target, target_logit, row.num_logprobs));
  return OkStatus();
}

bool ShardedSampler::HasNan(const SampledRow& row) const {
  return exchange_.NumNan(row.task) > 0 ||
         (row.WantsLogprobs() && exchange_.NumNan(row.raw_task) > 0);
}

StatusOr<std::vector<SampleResult>> ShardedSampler::Sample(const StepPlan& plan,
                                                           const TensorView& logits,
                                                           const TokenMasks& masks) {
  std::vector<SampleResult> results;
  for (const SequenceWork& work : plan.work) {
    if (!work.logit_offsets.empty()) results.emplace_back().slot = work.slot;
  }
  step_.Lay(plan, slots_);
  if (step_.tasks().empty()) return results;
  PHALANX_RETURN_IF_ERROR(SelectAndExchange(logits, masks));
  for (const PromptRow& row : step_.prompt()) {
    SampleResult& result = results[row.result];
    if (Status status = FinishPromptRow(row, result); !status.ok()) result.status = status;
  }
  for (SampledRow& row : step_.sampled()) {
    SampleResult& result = results[row.result];
    if (HasNan(row)) result.status = NotFinite();
    if (!result.status.ok()) continue;
    PHALANX_ASSIGN_OR_RETURN(const TokenCandidate chosen, Choose(row, logits));
    if (chosen.id < 0) {
      result.status = NoTokenLeft(slots_[static_cast<size_t>(result.slot)]);
      continue;
    }
    result.token_id = chosen.id;
    if (row.WantsLogprobs()) {
      result.logprobs = Logprobs(row.raw_task, chosen.id, chosen.raw, row.params().logprobs);
    }
    row.slot->Append(chosen.id);
  }
  return results;
}

}  // namespace

std::unique_ptr<Sampler> Sampler::Create(const SamplerOptions& options, const ShardSpec& shard,
                                         Backend& backend, Communicator& communicator) {
  return std::make_unique<ShardedSampler>(options, shard, backend, communicator);
}

}  // namespace phalanx
