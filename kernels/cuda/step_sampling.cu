#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

#include "kernels/cuda/step_sampling.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr size_t kWord = sizeof(uint64_t);
constexpr size_t kNothing = std::numeric_limits<size_t>::max();

// Of a row: so much has room in one copy where every row has as much.
constexpr size_t kUsualCandidates = kTopPCandidates + 32;
constexpr size_t kUsualUpdates = 64;
constexpr size_t kUsualBans = 64;

constexpr size_t RoundUp(size_t bytes) { return (bytes + kWord - 1) / kWord * kWord; }

// Whatever the first column's place in its word.
size_t MaskBytes(size_t cols) { return RoundUp((cols / 32 + 2) * sizeof(uint32_t)); }

int32_t MostTokens(const StepLimits& limits) {
  const int64_t of_sequence = limits.max_blocks_per_seq * limits.block_size + kMaxBiases;
  return static_cast<int32_t>(std::min(limits.num_logit_cols, of_sequence));
}

size_t MostTasks(const StepLimits& limits) {
  // A row may be selected from as it is and once more adjusted.
  return 2 * static_cast<size_t>(std::max<int64_t>(limits.max_num_logit_rows, 1));
}

// A single row has room whatever it asks for.
size_t ArraysBytes(const StepLimits& limits) {
  const auto rows = static_cast<size_t>(limits.max_num_logit_rows);
  const auto cols = static_cast<size_t>(limits.num_logit_cols);
  const size_t always = MaskBytes(cols) + sizeof(AdjustedRow);
  return std::max(
      rows * (always + kUsualBans * sizeof(int32_t) + kUsualUpdates * sizeof(TokenUpdate)),
      always + RoundUp(cols * sizeof(int32_t)));
}

// A single task likewise.
size_t ResultsBytes(const StepLimits& limits) {
  const auto rows = static_cast<size_t>(limits.max_num_logit_rows);
  const auto cols = static_cast<size_t>(limits.num_logit_cols);
  return RoundUp(std::max(MostTasks(limits) * (sizeof(SelectionResult) + kWord) +
                              rows * std::min(kUsualCandidates, cols) * sizeof(SelectedToken),
                          sizeof(SelectionResult) + cols * sizeof(SelectedToken)));
}

template <typename T>
const T* At(const void* base, size_t bytes) {
  return reinterpret_cast<const T*>(static_cast<const std::byte*>(base) + bytes);
}

size_t SelectionBytes(size_t num_tasks, int32_t num_candidates) {
  return RoundUp(num_tasks * sizeof(SelectionResult) +
                 static_cast<size_t>(num_candidates) * sizeof(SelectedToken));
}

void CheckLogits(const TensorView& logits, const StepLimits& limits) {
  PHALANX_CHECK(logits.dtype == DType::kF32);
  PHALANX_CHECK_LE(logits.cols, limits.num_logit_cols);
}

bool Before(const SelectedToken& a, const SelectedToken& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

void Give(const SelectionTask& task, const SelectionResult& from,
          std::span<const SelectedToken> tokens, CandidateResult& to) {
  to.max = from.max;
  to.sum_exp = from.sum_exp;
  to.num_nan = from.num_nan;
  to.gumbel = {from.gumbel.id, from.gumbel.logit};
  to.gumbel_score = static_cast<double>(from.gumbel_score);
  to.gumbel_raw = from.gumbel.raw;
  to.target_logit = from.target_logit;
  to.candidates.clear();
  to.raw.clear();
  for (const SelectedToken& token : tokens) {
    to.candidates.push_back({token.id, token.logit});
    if (task.raw != nullptr) to.raw.push_back(token.raw);
  }
}

}  // namespace

StepSampling::StepSampling(Device& device, const StepLimits& limits)
    : device_(device),
      limits_(limits),
      most_tokens_(MostTokens(limits)),
      most_tasks_(MostTasks(limits)),
      arrays_bytes_(ArraysBytes(limits)),
      results_bytes_(ResultsBytes(limits)),
      slots_(static_cast<size_t>(limits.max_num_seqs)) {
  PHALANX_CHECK_LE(limits.num_logit_cols, int64_t{std::numeric_limits<int32_t>::max() / 2});
}

StatusOr<std::unique_ptr<StepSampling>> StepSampling::Create(Device& device,
                                                             const StepLimits& limits,
                                                             MemoryPlan& plan) {
  std::unique_ptr<StepSampling> sampling(new StepSampling(device, limits));
  const size_t num_tasks = sampling->most_tasks_;
  const auto of_all = [&](int32_t count, size_t size) {
    return num_tasks * static_cast<size_t>(count) * size;
  };
  plan.Add("adjusted tokens of slots",
           static_cast<size_t>(limits.max_num_seqs) * static_cast<size_t>(sampling->most_tokens_) *
               sizeof(TokenAdjustment),
           &sampling->slot_tokens_);
  plan.Add("a step's adjustments", sampling->arrays_bytes_, &sampling->arrays_);
  plan.Add("sampling's tasks", of_all(1, sizeof(SelectionTask)), &sampling->sent_tasks_);
  plan.Add("summaries of logits", of_all(NumChunks(limits.num_logit_cols), sizeof(ChunkSummary)),
           &sampling->chunks_);
  plan.Add("maxima of logits", of_all(NumGroups(limits.num_logit_cols), sizeof(uint32_t)),
           &sampling->group_max_);
  plan.Add("candidates of a step", sampling->results_bytes_, &sampling->results_);
  PHALANX_ASSIGN_OR_RETURN(
      sampling->array_places_,
      SendPlaces::Create(device, sampling->arrays_bytes_, "a step's adjustments to send"));
  PHALANX_ASSIGN_OR_RETURN(
      sampling->task_places_,
      SendPlaces::Create(device, of_all(1, sizeof(SelectionTask)), "sampling's tasks to send"));
  PHALANX_ASSIGN_OR_RETURN(
      sampling->received_,
      PinnedBuffer::Allocate(device, sampling->results_bytes_, "candidates received"));
  return StatusOr<std::unique_ptr<StepSampling>>(std::move(sampling));
}

// ------------------------------------------------------------------------------------------------

template <typename T>
size_t StepSampling::Stage(std::span<const T> values) {
  const size_t at = staging_.size() * kWord;
  staging_.resize(staging_.size() + RoundUp(values.size_bytes()) / kWord);
  if (!values.empty()) {
    std::memcpy(reinterpret_cast<std::byte*>(staging_.data()) + at, values.data(),
                values.size_bytes());
  }
  return at;
}

std::span<const uint32_t> StepSampling::MyWords(const RowAdjustment& row) const {
  if (row.mask.empty() || cols_ == 0) return {};
  const auto first = static_cast<size_t>(first_id_ / 32);
  const auto end = static_cast<size_t>((first_id_ + cols_ + 31) / 32);
  PHALANX_CHECK_LE(end, row.mask.size());
  return row.mask.subspan(first, end - first);
}

AdjustedRow StepSampling::Keep(const RowAdjustment& row) {
  PHALANX_CHECK(row.slot >= 0 && row.slot < limits_.max_num_seqs);
  Slot& slot = slots_[static_cast<size_t>(row.slot)];
  auto* const tokens =
      static_cast<TokenAdjustment*>(slot_tokens_) + int64_t{row.slot} * most_tokens_;
  if (row.changed.size() == row.tokens.size()) {
    slot.places.clear();
    slot.num_tokens = 0;
  }
  slot.places.resize(row.tokens.size(), -1);
  for (const int32_t i : row.changed) {
    const TokenAdjustment& token = row.tokens[static_cast<size_t>(i)];
    if (!IsMine(token.id)) continue;
    int32_t& place = slot.places[static_cast<size_t>(i)];
    if (place < 0) place = slot.num_tokens++;
    PHALANX_CHECK_LT(place, most_tokens_);
    updates_.push_back({tokens + place, token});
  }
  return {.kept = row.kept,
          .tokens = tokens,
          .num_tokens = slot.num_tokens,
          .repetition_penalty = row.repetition_penalty,
          .frequency_penalty = row.frequency_penalty,
          .presence_penalty = row.presence_penalty};
}

size_t StepSampling::StageRows(const TensorView& logits, std::span<const RowAdjustment> rows,
                               size_t first) {
  rows_.clear();
  staged_rows_.clear();
  for (const RowAdjustment& row : rows.subspan(first)) {
    PHALANX_CHECK(row.row >= 0 && row.row < logits.rows);
    bans_.clear();
    std::ranges::copy_if(row.bans, std::back_inserter(bans_),
                         [&](int32_t id) { return IsMine(id); });
    const std::span<const uint32_t> mask = MyWords(row);
    const size_t bytes = staging_.size() * kWord + RoundUp(mask.size_bytes()) +
                         RoundUp(bans_.size() * sizeof(int32_t)) +
                         (rows_.size() + 1) * sizeof(AdjustedRow);
    if (bytes > arrays_bytes_) break;
    AdjustedRow& out = rows_.emplace_back(kept_rows_[first + rows_.size()]);
    out.logits = logits.row<float>(row.row);
    out.num_bans = static_cast<int32_t>(bans_.size());
    StagedRow& staged = staged_rows_.emplace_back();
    staged.mask = mask.empty() ? kNothing : Stage(mask);
    staged.bans = Stage(std::span<const int32_t>(bans_));
  }
  // Their places are known.
  for (size_t i = 0; i < rows_.size(); ++i) {
    const StagedRow& staged = staged_rows_[i];
    if (staged.mask != kNothing) rows_[i].mask = At<uint32_t>(arrays_, staged.mask);
    rows_[i].bans = At<int32_t>(arrays_, staged.bans);
  }
  return rows_.size();
}

void StepSampling::SendAndAdjust(size_t num_updates) {
  const size_t rows_at = Stage(std::span<const AdjustedRow>(rows_));
  const size_t bytes = staging_.size() * kWord;
  std::memcpy(array_places_->Next().data(), staging_.data(), bytes);
  array_places_->Send(arrays_, bytes);

  Stream& stream = device_.stream();
  LaunchUpdateTokens(
      stream, {.count = static_cast<int64_t>(num_updates), .updates = At<TokenUpdate>(arrays_, 0)});
  AdjustParams params{.cols = cols_,
                      .first_id = first_id_,
                      .num_rows = static_cast<int32_t>(rows_.size()),
                      .rows = At<AdjustedRow>(arrays_, rows_at)};
  bool keeps = false;
  bool masks = false;
  for (const AdjustedRow& row : rows_) {
    params.max_tokens = std::max(params.max_tokens, row.num_tokens);
    params.max_bans = std::max(params.max_bans, row.num_bans);
    keeps |= row.kept != nullptr;
    masks |= row.mask != nullptr;
  }
  if (keeps) LaunchKeepRows(stream, params);
  LaunchAdjustTokens(stream, params);
  if (masks) LaunchMaskTokens(stream, params);
  LaunchBanTokens(stream, params);
}

void StepSampling::Adjust(const TensorView& logits, int64_t first_id,
                          std::span<const RowAdjustment> rows) {
  CheckLogits(logits, limits_);
  first_id_ = first_id;
  cols_ = logits.cols;
  updates_.clear();
  kept_rows_.clear();
  for (const RowAdjustment& row : rows) kept_rows_.push_back(Keep(row));
  std::span<const TokenUpdate> updates = updates_;
  // Nearly always once. Rows come behind the last update, which may be of any of them.
  for (size_t done = 0; done < rows.size();) {
    const auto now = updates.first(std::min(updates.size(), arrays_bytes_ / sizeof(TokenUpdate)));
    updates = updates.subspan(now.size());
    staging_.clear();
    rows_.clear();
    Stage(now);
    const size_t staged = updates.empty() ? StageRows(logits, rows, done) : 0;
    PHALANX_CHECK_GT(now.size() + staged, size_t{0});
    SendAndAdjust(now.size());
    done += staged;
  }
}

// ------------------------------------------------------------------------------------------------

void StepSampling::LayTasks(const TensorView& logits, std::span<const CandidateTask> tasks,
                            size_t first) {
  tasks_.clear();
  int32_t num_candidates = 0;
  for (const CandidateTask& task : tasks.subspan(first)) {
    PHALANX_CHECK(task.row >= 0 && task.row < logits.rows);
    const auto top_k = static_cast<int32_t>(std::min<int64_t>(task.top_k, logits.cols));
    if (tasks_.size() == most_tasks_ ||
        results_used_ + SelectionBytes(tasks_.size() + 1, num_candidates + top_k) >
            results_bytes_) {
      return;
    }
    const int64_t target = task.target - first_id_;
    const bool has_target = task.target >= 0 && target >= 0 && target < logits.cols;
    tasks_.push_back({.logits = logits.row<const float>(task.row),
                      .raw = task.raw,
                      .seed = task.seed,
                      .choice = task.choice,
                      .index = task.index,
                      .inv_temperature = task.inv_temperature,
                      .min_logit = task.min_logit,
                      .wants_gumbel = task.gumbel == CandidateTask::Gumbel::kWanted ? 1 : 0,
                      .top_k = top_k,
                      .target_column = has_target ? static_cast<int32_t>(target) : -1,
                      .first_candidate = num_candidates});
    num_candidates += top_k;
  }
}

void StepSampling::LaunchTasks(std::span<CandidateResult> results) {
  std::memcpy(task_places_->Next().data(), tasks_.data(), tasks_.size() * sizeof(SelectionTask));
  task_places_->Send(sent_tasks_, tasks_.size() * sizeof(SelectionTask));
  const size_t candidates_at = results_used_ + tasks_.size() * sizeof(SelectionResult);
  auto* const base = static_cast<std::byte*>(results_);
  const SelectionParams params{
      .cols = cols_,
      .first_id = first_id_,
      .num_tasks = static_cast<int32_t>(tasks_.size()),
      .num_chunks = NumChunks(cols_),
      .num_groups = NumGroups(cols_),
      .tasks = static_cast<const SelectionTask*>(sent_tasks_),
      .chunks = static_cast<ChunkSummary*>(chunks_),
      .group_max = static_cast<uint32_t*>(group_max_),
      .results = reinterpret_cast<SelectionResult*>(base + results_used_),
      .candidates = reinterpret_cast<SelectedToken*>(base + candidates_at)};
  LaunchSummarizeLogits(device_.stream(), params);
  LaunchSelectCandidates(device_.stream(), params);
  pending_.push_back({.results = results,
                      .results_at = results_used_,
                      .candidates_at = candidates_at,
                      .tasks = tasks_});
  const SelectionTask& last = tasks_.back();
  results_used_ += SelectionBytes(tasks_.size(), last.first_candidate + last.top_k);
}

Status StepSampling::Select(const TensorView& logits, int64_t first_id,
                            std::span<const CandidateTask> tasks,
                            std::span<CandidateResult> results) {
  CheckLogits(logits, limits_);
  PHALANX_CHECK_EQ(tasks.size(), results.size());
  first_id_ = first_id;
  cols_ = logits.cols;
  for (size_t done = 0; done < tasks.size(); done += tasks_.size()) {
    LayTasks(logits, tasks, done);
    if (tasks_.empty()) {
      // What is there is fetched first.
      PHALANX_CHECK_GT(results_used_, size_t{0});
      PHALANX_RETURN_IF_ERROR(Finish());
      continue;
    }
    LaunchTasks(results.subspan(done, tasks_.size()));
  }
  return OkStatus();
}

Status StepSampling::Finish() {
  if (results_used_ > 0) device_.Fetch(received_->data(), results_, results_used_);
  const Status status = device_.Finish();
  if (status.ok()) Deliver();
  results_used_ = 0;
  pending_.clear();
  return status;
}

void StepSampling::Deliver() {
  if (pending_.empty()) return;
  const auto* const received = static_cast<const std::byte*>(received_->data());
  for (const Pending& selection : pending_) {
    for (size_t i = 0; i < selection.results.size(); ++i) {
      SelectionResult result;
      std::memcpy(&result, received + selection.results_at + i * sizeof(result), sizeof(result));
      const SelectionTask& task = selection.tasks[i];
      tokens_.resize(static_cast<size_t>(result.num_candidates));
      if (!tokens_.empty()) {
        std::memcpy(tokens_.data(),
                    received + selection.candidates_at +
                        static_cast<size_t>(task.first_candidate) * sizeof(SelectedToken),
                    tokens_.size() * sizeof(SelectedToken));
      }
      if (tokens_.size() > kMaxSorted) std::ranges::sort(tokens_, Before);
      Give(task, result, tokens_, selection.results[i]);
    }
  }
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
