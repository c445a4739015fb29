#include "worker/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/base/check.h"
#include "worker/slot_state.h"
#include "worker/token_filter.h"

namespace phalanx {
namespace {

// What one rank tells the others about one task, besides its candidates.
struct TaskRecord {
  double sum_exp = 0.0;
  double gumbel_score = 0.0;
  int64_t num_nan = 0;
  float max = 0.0F;
  float target_logit = 0.0F;  // prompt rows: of the token that follows, from the rank that holds it
  TokenCandidate gumbel{};
  int32_t padding = 0;
};
static_assert(std::is_trivially_copyable_v<TaskRecord> && sizeof(TaskRecord) % 8 == 0);
static_assert(std::is_trivially_copyable_v<TokenCandidate>);

enum class Method : uint8_t { kGreedy, kGumbel, kFiltered };

Method MethodOf(const SamplingParams& params) {
  if (IsGreedy(params)) return Method::kGreedy;
  return params.top_k > 0 || params.top_p < 1.0F ? Method::kFiltered : Method::kGumbel;
}

struct SampledRow {
  size_t result = 0;  // index into the results
  int64_t row = 0;    // of the logits
  SlotState* slot = nullptr;
  Method method = Method::kGreedy;
  size_t raw_task = 0;  // valid where logprobs are wanted
  size_t task = 0;
  bool adjusted = false;
  std::vector<RawLogit> overwritten;  // where adjusted

  bool WantsLogprobs() const { return slot->params().logprobs >= 0; }
};

struct PromptRow {
  size_t result = 0;
  int64_t row = 0;
  const SlotState* slot = nullptr;
  int32_t target = 0;  // the prompt token that follows
  size_t task = 0;
};

class ShardedSampler final : public Sampler {
 public:
  ShardedSampler(const SamplerOptions& options, const ShardSpec& shard, Backend& backend,
                 Communicator& communicator)
      : options_(options), vocab_(shard.vocab), backend_(backend), communicator_(communicator) {
    PHALANX_CHECK_EQ(shard.size, communicator.size());
    slots_.resize(static_cast<size_t>(options.max_num_seqs));
    for (int rank = 0; rank < shard.size; ++rank) {
      shards_.push_back(SplitRange(options.vocab_size, kShardUnit, rank, shard.size));
    }
    PHALANX_CHECK(shards_[static_cast<size_t>(shard.rank)] == vocab_);
  }

  void InitSlot(const SlotInit& init) override { Slot(init.slot).Init(init); }
  int32_t LastSample(int32_t slot) const override {
    return slots_[static_cast<size_t>(slot)].last_sample();
  }
  StatusOr<std::vector<SampleResult>> Sample(const StepPlan& plan,
                                             const TensorView& logits) override;

 private:
  SlotState& Slot(int32_t slot) { return slots_[static_cast<size_t>(slot)]; }
  size_t NumShards() const { return shards_.size(); }

  void Lay(const StepPlan& plan, std::vector<SampleResult>& results);
  size_t AddTask(const CandidateTask& task);
  void AddSampledTask(SampledRow& row);
  void Select(const TensorView& logits, size_t first_task, size_t num_tasks);
  Status RaiseMinLogits(const TensorView& logits);
  Status Exchange(const TensorView& logits);
  TokenCandidate WithRaw(const SampledRow& row, const Candidate& candidate) const;

  const TaskRecord& Record(size_t shard, size_t task) const;
  // Fills lists_ with the task's candidates of all shards.
  void Lists(size_t task);
  TotalMass Mass(size_t task, double inv_temperature);
  int64_t NumNan(size_t task) const;

  Status Choose(SampledRow& row, const TensorView& logits, TokenCandidate& chosen);
  Status GatherFullRow(const SampledRow& row, const TensorView& logits);
  TokenLogprobs Logprobs(size_t raw_task, int32_t token_id, float raw_logit, int32_t num_top);

  SamplerOptions options_;
  Range vocab_;
  Backend& backend_;
  Communicator& communicator_;
  std::vector<Range> shards_;
  std::vector<SlotState> slots_;

  // One step's working set; capacity is kept between steps.
  std::vector<SampledRow> sampled_;
  std::vector<PromptRow> prompt_;
  std::vector<CandidateTask> tasks_;
  std::vector<size_t> first_candidate_;  // per task, its first entry among a shard's candidates
  size_t num_candidates_ = 0;            // of all tasks
  size_t num_raw_tasks_ = 0;
  std::vector<CandidateResult> local_;
  std::vector<CandidateTask> max_tasks_;
  std::vector<CandidateResult> max_results_;
  std::vector<float> max_send_, max_recv_;
  std::vector<std::byte> send_, recv_;
  std::vector<CandidateList> lists_;
  std::vector<ShardMass> masses_;
  std::vector<TokenCandidate> kept_;
  std::vector<float> row_send_, row_recv_;
  std::vector<TokenCandidate> full_row_;
};

size_t ShardedSampler::AddTask(const CandidateTask& task) {
  tasks_.push_back(task);
  first_candidate_.push_back(num_candidates_);
  num_candidates_ += static_cast<size_t>(task.top_k);
  return tasks_.size() - 1;
}

void ShardedSampler::AddSampledTask(SampledRow& row) {
  const SamplingParams& params = row.slot->params();
  CandidateTask task{.row = row.row};
  switch (row.method) {
    case Method::kGreedy:
      if (row.WantsLogprobs() && !row.adjusted) {
        row.task = row.raw_task;
        return;
      }
      task.top_k = 1;
      break;
    case Method::kGumbel:
      task.gumbel = CandidateTask::Gumbel::kWanted;
      task.inv_temperature = InvTemperature(params);
      break;
    case Method::kFiltered:
      task.top_k = params.top_k > 0 ? params.top_k : options_.top_p_candidates;
      task.top_k = static_cast<int32_t>(std::min<int64_t>(task.top_k, options_.vocab_size));
      task.inv_temperature = InvTemperature(params);
      break;
  }
  task.seed = params.seed;
  task.choice = params.choice;
  task.index = static_cast<uint32_t>(row.slot->output_index());
  row.task = AddTask(task);
}

// Which rows are sampled, which are prompt rows, and the tasks of both: those on raw logits first.
void ShardedSampler::Lay(const StepPlan& plan, std::vector<SampleResult>& results) {
  prompt_.clear();
  tasks_.clear();
  first_candidate_.clear();
  num_candidates_ = 0;
  size_t num_sampled = 0;
  int64_t row = 0;
  for (const SequenceWork& work : plan.work) {
    if (work.logit_offsets.empty()) continue;
    SlotState& slot = Slot(work.slot);
    const size_t result = results.size();
    results.emplace_back().slot = work.slot;
    for (size_t i = 0; i < work.logit_offsets.size(); ++i, ++row) {
      const bool last = i + 1 == work.logit_offsets.size();
      if (last && work.sample == SequenceWork::Sample::kLast) {
        if (sampled_.size() == num_sampled) sampled_.emplace_back();
        SampledRow& sampled = sampled_[num_sampled++];
        sampled.result = result;
        sampled.row = row;
        sampled.slot = &slot;
        sampled.method = MethodOf(slot.params());
        sampled.adjusted = slot.HasAdjustments();
        if (sampled.WantsLogprobs())
          sampled.raw_task = AddTask({.row = row, .top_k = kMaxLogprobs});
        continue;
      }
      const auto next =
          static_cast<size_t>(int64_t{work.start_position} + work.logit_offsets[i] + 1);
      if (next >= slot.prompt_ids().size()) continue;
      prompt_.push_back({.result = result,
                         .row = row,
                         .slot = &slot,
                         .target = slot.prompt_ids()[next],
                         .task = AddTask({.row = row, .top_k = kMaxLogprobs})});
    }
  }
  sampled_.resize(num_sampled);
  num_raw_tasks_ = tasks_.size();
  for (SampledRow& sampled : sampled_) AddSampledTask(sampled);
}

void ShardedSampler::Select(const TensorView& logits, size_t first_task, size_t num_tasks) {
  if (num_tasks == 0) return;
  if (local_.size() < tasks_.size()) local_.resize(tasks_.size());
  backend_.SelectCandidates(logits, vocab_.begin, std::span(tasks_).subspan(first_task, num_tasks),
                            std::span(local_).subspan(first_task, num_tasks));
}

// min-p alone: the Gumbel argmax runs over tokens within reach of the best token of all shards.
Status ShardedSampler::RaiseMinLogits(const TensorView& logits) {
  max_tasks_.clear();
  for (const SampledRow& row : sampled_) {
    if (row.method != Method::kGumbel || row.slot->params().min_p <= 0.0F) continue;
    max_tasks_.push_back({.row = row.row});
  }
  if (max_tasks_.empty()) return OkStatus();
  const size_t n = max_tasks_.size();
  if (max_results_.size() < n) max_results_.resize(n);
  backend_.SelectCandidates(logits, vocab_.begin, max_tasks_, std::span(max_results_).first(n));
  max_send_.resize(n);
  max_recv_.resize(n * NumShards());
  for (size_t i = 0; i < n; ++i) max_send_[i] = max_results_[i].max;
  PHALANX_RETURN_IF_ERROR(communicator_.AllGather(std::as_bytes(std::span(max_send_)),
                                                  std::as_writable_bytes(std::span(max_recv_))));
  size_t i = 0;
  for (const SampledRow& row : sampled_) {
    const SamplingParams& params = row.slot->params();
    if (row.method != Method::kGumbel || params.min_p <= 0.0F) continue;
    float best = max_recv_[i];
    for (size_t shard = 1; shard < NumShards(); ++shard) {
      best = std::max(best, max_recv_[shard * n + i]);
    }
    const double reach =
        std::log(static_cast<double>(params.min_p)) * static_cast<double>(params.temperature);
    tasks_[row.task].min_logit = static_cast<float>(static_cast<double>(best) + reach);
    ++i;
  }
  return OkStatus();
}

TokenCandidate ShardedSampler::WithRaw(const SampledRow& row, const Candidate& candidate) const {
  TokenCandidate token{.id = candidate.id, .logit = candidate.logit, .raw = candidate.logit};
  if (!row.adjusted) return token;
  const auto at = std::lower_bound(row.overwritten.begin(), row.overwritten.end(), token.id,
                                   [](const RawLogit& raw, int32_t id) { return raw.id < id; });
  if (at != row.overwritten.end() && at->id == token.id) token.raw = at->logit;
  return token;
}

// Sends this shard's records, then its candidates; receives everybody's.
Status ShardedSampler::Exchange(const TensorView& logits) {
  const size_t records_bytes = tasks_.size() * sizeof(TaskRecord);
  // Rounded up, so that the next shard's records are aligned in what is gathered.
  constexpr size_t kAlignment = alignof(TaskRecord);
  const size_t bytes = (records_bytes + num_candidates_ * sizeof(TokenCandidate) + kAlignment - 1) /
                       kAlignment * kAlignment;
  send_.assign(bytes, std::byte{0});
  recv_.resize(bytes * NumShards());
  auto* const records = reinterpret_cast<TaskRecord*>(send_.data());
  auto* const candidates = reinterpret_cast<TokenCandidate*>(send_.data() + records_bytes);
  std::fill_n(candidates, num_candidates_, TokenCandidate{});

  for (size_t t = 0; t < tasks_.size(); ++t) {
    const CandidateResult& result = local_[t];
    records[t] = {.sum_exp = result.sum_exp,
                  .gumbel_score = result.gumbel_score,
                  .num_nan = result.num_nan,
                  .max = result.max};
    TokenCandidate* out = candidates + first_candidate_[t];
    for (const Candidate& candidate : result.candidates) {
      *out++ = {.id = candidate.id, .logit = candidate.logit, .raw = candidate.logit};
    }
  }
  for (const PromptRow& row : prompt_) {
    if (row.target < vocab_.begin || row.target >= vocab_.end) continue;
    records[row.task].target_logit = logits.row<float>(row.row)[row.target - vocab_.begin];
  }
  for (const SampledRow& row : sampled_) {
    records[row.task].gumbel = WithRaw(row, local_[row.task].gumbel);
    if (!row.adjusted) continue;
    TokenCandidate* out = candidates + first_candidate_[row.task];
    for (const Candidate& candidate : local_[row.task].candidates) {
      *out++ = WithRaw(row, candidate);
    }
  }
  return communicator_.AllGather(send_, recv_);
}

const TaskRecord& ShardedSampler::Record(size_t shard, size_t task) const {
  return reinterpret_cast<const TaskRecord*>(recv_.data() + shard * send_.size())[task];
}

void ShardedSampler::Lists(size_t task) {
  lists_.clear();
  const auto top_k = static_cast<size_t>(tasks_[task].top_k);
  for (size_t shard = 0; shard < NumShards(); ++shard) {
    const auto* candidates = reinterpret_cast<const TokenCandidate*>(
        recv_.data() + shard * send_.size() + tasks_.size() * sizeof(TaskRecord));
    lists_.push_back({.tokens = {candidates + first_candidate_[task], top_k},
                      .truncated = shards_[shard].size() > tasks_[task].top_k});
  }
}

TotalMass ShardedSampler::Mass(size_t task, double inv_temperature) {
  masses_.clear();
  for (size_t shard = 0; shard < NumShards(); ++shard) {
    const TaskRecord& record = Record(shard, task);
    masses_.push_back({.max = record.max, .sum_exp = record.sum_exp});
  }
  return CombineMass(masses_, inv_temperature);
}

int64_t ShardedSampler::NumNan(size_t task) const {
  int64_t count = 0;
  for (size_t shard = 0; shard < NumShards(); ++shard) count += Record(shard, task).num_nan;
  return count;
}

// Every shard's adjusted row, and its raw row where log-probabilities are wanted, into full_row_.
Status ShardedSampler::GatherFullRow(const SampledRow& row, const TensorView& logits) {
  int64_t longest = 0;
  for (const Range& shard : shards_) longest = std::max(longest, shard.size());
  const auto width = static_cast<size_t>(longest);
  const bool with_raw = row.adjusted && row.WantsLogprobs();
  row_send_.assign(with_raw ? 2 * width : width, 0.0F);
  row_recv_.resize(row_send_.size() * NumShards());
  const auto count = static_cast<size_t>(vocab_.size());
  std::copy_n(logits.row<float>(row.row), count, row_send_.data());
  if (with_raw) {
    std::copy_n(row_send_.data(), count, row_send_.data() + width);
    for (const RawLogit& raw : row.overwritten) {
      row_send_[width + static_cast<size_t>(raw.id - vocab_.begin)] = raw.logit;
    }
  }
  PHALANX_RETURN_IF_ERROR(communicator_.AllGather(std::as_bytes(std::span(row_send_)),
                                                  std::as_writable_bytes(std::span(row_recv_))));
  full_row_.clear();
  for (size_t shard = 0; shard < NumShards(); ++shard) {
    const float* adjusted = row_recv_.data() + shard * row_send_.size();
    const float* raw = with_raw ? adjusted + width : adjusted;
    for (int64_t id = shards_[shard].begin; id < shards_[shard].end; ++id) {
      const auto column = static_cast<size_t>(id - shards_[shard].begin);
      if (adjusted[column] == -std::numeric_limits<float>::infinity()) continue;
      full_row_.push_back(
          {.id = static_cast<int32_t>(id), .logit = adjusted[column], .raw = raw[column]});
    }
  }
  std::sort(full_row_.begin(), full_row_.end(),
            [](const TokenCandidate& a, const TokenCandidate& b) {
              return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
            });
  return OkStatus();
}

// Leaves chosen.id at -1 where no token can be chosen.
Status ShardedSampler::Choose(SampledRow& row, const TensorView& logits, TokenCandidate& chosen) {
  const SamplingParams& params = row.slot->params();
  if (row.method == Method::kGumbel) {
    double best_score = 0.0;
    for (size_t shard = 0; shard < NumShards(); ++shard) {
      const TaskRecord& record = Record(shard, row.task);
      // Shards ascend in ids, so a strict comparison gives ties to the lower id.
      if (record.gumbel.id < 0 || (chosen.id >= 0 && record.gumbel_score <= best_score)) continue;
      chosen = record.gumbel;
      best_score = record.gumbel_score;
    }
    return OkStatus();
  }
  Lists(row.task);
  if (row.method == Method::kGreedy) {
    CandidateMerge merge(lists_);
    chosen = merge.Next().value_or(TokenCandidate{});
    return OkStatus();
  }
  const double sum_exp =
      Mass(row.task, static_cast<double>(tasks_[row.task].inv_temperature)).sum_exp;
  CandidateMerge merge(lists_);
  if (FilterCandidates(merge, params, sum_exp, kept_) == Coverage::kNeedsFullRow) {
    PHALANX_RETURN_IF_ERROR(GatherFullRow(row, logits));
    const CandidateList full{.tokens = full_row_, .truncated = false};
    CandidateMerge full_merge(std::span(&full, 1));
    PHALANX_CHECK(FilterCandidates(full_merge, params, sum_exp, kept_) == Coverage::kEnough);
  }
  if (!kept_.empty()) {
    chosen = ChooseByGumbel(kept_, params, static_cast<uint32_t>(row.slot->output_index()));
  }
  return OkStatus();
}

TokenLogprobs ShardedSampler::Logprobs(size_t raw_task, int32_t token_id, float raw_logit,
                                       int32_t num_top) {
  const TotalMass mass = Mass(raw_task, 1.0);
  const double log_sum_exp = mass.max + std::log(mass.sum_exp);
  const auto logprob = [&](float logit) {
    return static_cast<float>(static_cast<double>(logit) - log_sum_exp);
  };
  TokenLogprobs out{.token_id = token_id, .logprob = logprob(raw_logit), .rank = 0, .top = {}};
  Lists(raw_task);
  CandidateMerge merge(lists_);
  for (int32_t i = 0; i < kMaxLogprobs; ++i) {
    const std::optional<TokenCandidate> token = merge.Next();
    if (!token) break;
    if (token->id == token_id) out.rank = i + 1;
    if (i < num_top) out.top.push_back({.token_id = token->id, .logprob = logprob(token->logit)});
  }
  return out;
}

StatusOr<std::vector<SampleResult>> ShardedSampler::Sample(const StepPlan& plan,
                                                           const TensorView& logits) {
  std::vector<SampleResult> results;
  Lay(plan, results);
  if (tasks_.empty()) return results;
  Select(logits, 0, num_raw_tasks_);
  for (SampledRow& row : sampled_) {
    if (!row.adjusted) continue;
    row.slot->Adjust(vocab_, {logits.row<float>(row.row), static_cast<size_t>(vocab_.size())},
                     row.overwritten);
  }
  PHALANX_RETURN_IF_ERROR(RaiseMinLogits(logits));
  Select(logits, num_raw_tasks_, tasks_.size() - num_raw_tasks_);
  PHALANX_RETURN_IF_ERROR(Exchange(logits));

  for (const PromptRow& row : prompt_) {
    SampleResult& result = results[row.result];
    if (NumNan(row.task) > 0) {
      result.status = InternalError("the model produced logits that are not finite");
      continue;
    }
    size_t owner = 0;
    while (row.target >= shards_[owner].end) ++owner;
    result.prompt.push_back(Logprobs(row.task, row.target, Record(owner, row.task).target_logit,
                                     row.slot->params().prompt_logprobs));
  }
  for (SampledRow& row : sampled_) {
    SampleResult& result = results[row.result];
    TokenCandidate chosen;
    if (NumNan(row.task) > 0 || (row.WantsLogprobs() && NumNan(row.raw_task) > 0)) {
      result.status = InternalError("the model produced logits that are not finite");
    } else {
      PHALANX_RETURN_IF_ERROR(Choose(row, logits, chosen));
      if (chosen.id < 0) {
        result.status = InvalidArgumentError(
                            "allowed_token_ids: bad_words, min_tokens and logit_bias leave no "
                            "token to choose")
                            .WithField("allowed_token_ids");
      }
    }
    if (!result.status.ok()) continue;
    result.token_id = chosen.id;
    if (row.WantsLogprobs()) {
      result.logprobs = Logprobs(row.raw_task, chosen.id, chosen.raw, row.slot->params().logprobs);
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
