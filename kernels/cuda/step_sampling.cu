#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cuda/step_sampling.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr size_t kWord = sizeof(uint64_t);
constexpr size_t kNothing = std::numeric_limits<size_t>::max();

constexpr std::string_view kAdjustments = "a step's adjustments";

size_t RoundUp(size_t bytes) { return (bytes + kWord - 1) / kWord * kWord; }

template <typename T>
const T* At(const CudaBuffer& buffer, size_t bytes) {
  return reinterpret_cast<const T*>(static_cast<const std::byte*>(buffer.data()) + bytes);
}

void CheckLogits(const TensorView& logits) {
  PHALANX_CHECK(logits.dtype == DType::kF32);
  PHALANX_CHECK_LE(logits.cols, int64_t{std::numeric_limits<int32_t>::max() / 2});
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

// The words of this rank's columns alone.
size_t StepSampling::StageMask(const RowAdjustment& row, int64_t first_id, int64_t cols) {
  if (row.mask.empty() || cols == 0) return kNothing;
  const auto first = static_cast<size_t>(first_id / 32);
  const auto end = static_cast<size_t>((first_id + cols + 31) / 32);
  PHALANX_CHECK_LE(end, row.mask.size());
  return Stage(row.mask.subspan(first, end - first));
}

Status StepSampling::Sent::Reserve(Device& device, size_t bytes, std::string_view name) {
  const CudaBuffer* const before = on_device.get();
  PHALANX_RETURN_IF_ERROR(
      PHALANX_CUDA_NAMESPACE::Reserve(device, std::max(bytes, kWord), name, on_device));
  if (on_device.get() == before) return OkStatus();
  PHALANX_ASSIGN_OR_RETURN(places, SendPlaces::Create(device, on_device->size_bytes(), name));
  return OkStatus();
}

void StepSampling::Sent::Send(const void* from, size_t bytes) {
  if (bytes == 0) return;
  std::memcpy(places->Next().data(), from, bytes);
  places->Send(on_device->data(), bytes);
}

Status StepSampling::ReserveSelection(Device& device, size_t num_tasks, int64_t cols) {
  const auto of_all = [&](int32_t count, size_t size) {
    return num_tasks * static_cast<size_t>(count) * size;
  };
  PHALANX_RETURN_IF_ERROR(
      sent_tasks_.Reserve(device, num_tasks * sizeof(SelectionTask), "sampling's tasks"));
  PHALANX_RETURN_IF_ERROR(Reserve(device, of_all(NumChunks(cols), sizeof(ChunkSummary)),
                                  "summaries of logits", chunks_));
  return Reserve(device, of_all(NumGroups(cols), sizeof(uint32_t)), "maxima of logits", group_max_);
}

Status StepSampling::ReserveResults(Device& device, size_t bytes) {
  constexpr std::string_view kName = "candidates of a step";
  const CudaBuffer* const before = results_.get();
  PHALANX_RETURN_IF_ERROR(Reserve(device, bytes, kName, results_));
  if (results_.get() == before) return OkStatus();
  PHALANX_ASSIGN_OR_RETURN(received_,
                           PinnedBuffer::Allocate(device, results_->size_bytes(), kName));
  return OkStatus();
}

Status StepSampling::Prepare(Device& device, const StepLimits& limits) {
  // A row may be selected from as it is and once more adjusted.
  const auto rows = static_cast<size_t>(limits.max_num_logit_rows);
  const size_t tasks = 2 * rows;
  constexpr size_t kUsualCandidates = kTopPCandidates + 32;
  constexpr size_t kUsualTokens = 64;  // that change or are banned, of a row
  PHALANX_RETURN_IF_ERROR(ReserveSelection(device, tasks, limits.num_logit_cols));
  PHALANX_RETURN_IF_ERROR(ReserveResults(
      device,
      tasks * (sizeof(SelectionResult) + kWord) + rows * kUsualCandidates * sizeof(SelectedToken)));
  const size_t mask_bytes = RoundUp(static_cast<size_t>(limits.num_logit_cols) / 8 + 2 * kWord);
  const size_t token_bytes = kUsualTokens * (sizeof(int32_t) + sizeof(TokenUpdate));
  return adjustments_.Reserve(device, rows * (mask_bytes + token_bytes + sizeof(AdjustedRow)),
                              kAdjustments);
}

StatusOr<const TokenAdjustment*> StepSampling::Keep(Device& device, const RowAdjustment& row) {
  const auto slot = static_cast<size_t>(row.slot);
  if (slot >= slots_.size()) slots_.resize(slot + 1);
  std::unique_ptr<CudaBuffer>& kept = slots_[slot];
  const CudaBuffer* const before = kept.get();
  const size_t bytes = row.tokens.size() * sizeof(TokenAdjustment);
  PHALANX_RETURN_IF_ERROR(Reserve(device, bytes, "adjusted tokens of a slot", kept));
  auto* const tokens = static_cast<TokenAdjustment*>(kept->data());
  const auto update = [&](size_t i) { updates_.push_back({tokens + i, row.tokens[i]}); };
  if (kept.get() != before) {
    for (size_t i = 0; i < row.tokens.size(); ++i) update(i);
  } else {
    for (const int32_t i : row.changed) update(static_cast<size_t>(i));
  }
  return tokens;
}

Status StepSampling::Adjust(Device& device, const TensorView& logits, int64_t first_id,
                            std::span<const RowAdjustment> rows) {
  CheckLogits(logits);
  updates_.clear();
  staging_.clear();
  rows_.clear();
  AdjustParams params{
      .cols = logits.cols, .first_id = first_id, .num_rows = static_cast<int32_t>(rows.size())};
  struct Staged {
    size_t mask;
    size_t bans;
  };
  std::vector<Staged> staged;
  bool keeps = false;
  bool masks = false;
  for (const RowAdjustment& row : rows) {
    PHALANX_CHECK(row.row >= 0 && row.row < logits.rows);
    AdjustedRow& out = rows_.emplace_back();
    out.logits = logits.row<float>(row.row);
    out.kept = row.kept;
    out.num_tokens = static_cast<int32_t>(row.tokens.size());
    if (!row.tokens.empty()) {
      PHALANX_ASSIGN_OR_RETURN(out.tokens, Keep(device, row));
    }
    out.num_bans = static_cast<int32_t>(row.bans.size());
    out.repetition_penalty = row.repetition_penalty;
    out.frequency_penalty = row.frequency_penalty;
    out.presence_penalty = row.presence_penalty;
    staged.push_back({StageMask(row, first_id, logits.cols), Stage(row.bans)});
    params.max_tokens = std::max(params.max_tokens, out.num_tokens);
    params.max_bans = std::max(params.max_bans, out.num_bans);
    keeps |= row.kept != nullptr;
    masks |= staged.back().mask != kNothing;
  }
  const size_t updates_at = Stage(std::span<const TokenUpdate>(updates_));
  const size_t rows_at = Stage(std::span<const AdjustedRow>(rows_));
  PHALANX_RETURN_IF_ERROR(adjustments_.Reserve(device, staging_.size() * kWord, kAdjustments));
  const CudaBuffer& on_device = *adjustments_.on_device;
  // Now that their place is known.
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (staged[i].mask != kNothing) rows_[i].mask = At<uint32_t>(on_device, staged[i].mask);
    rows_[i].bans = At<int32_t>(on_device, staged[i].bans);
  }
  std::memcpy(reinterpret_cast<std::byte*>(staging_.data()) + rows_at, rows_.data(),
              rows_.size() * sizeof(AdjustedRow));
  adjustments_.Send(staging_.data(), staging_.size() * kWord);
  params.rows = At<AdjustedRow>(on_device, rows_at);

  Stream& stream = device.stream();
  LaunchUpdateTokens(stream, {.count = static_cast<int64_t>(updates_.size()),
                              .updates = At<TokenUpdate>(on_device, updates_at)});
  if (keeps) LaunchKeepRows(stream, params);
  LaunchAdjustTokens(stream, params);
  if (masks) LaunchMaskTokens(stream, params);
  LaunchBanTokens(stream, params);
  return OkStatus();
}

// ------------------------------------------------------------------------------------------------

Status StepSampling::Select(Device& device, const TensorView& logits, int64_t first_id,
                            std::span<const CandidateTask> tasks,
                            std::span<CandidateResult> results) {
  CheckLogits(logits);
  PHALANX_CHECK_EQ(tasks.size(), results.size());
  tasks_.clear();
  Pending pending{.results = results, .results_at = 0, .candidates_at = 0, .tasks = {}};
  int64_t num_candidates = 0;
  for (const CandidateTask& task : tasks) {
    PHALANX_CHECK(task.row >= 0 && task.row < logits.rows);
    const int64_t target = task.target - first_id;
    const bool has_target = task.target >= 0 && target >= 0 && target < logits.cols;
    const auto top_k = static_cast<int32_t>(std::min<int64_t>(task.top_k, logits.cols));
    PHALANX_CHECK_LE(num_candidates, int64_t{std::numeric_limits<int32_t>::max() - top_k});
    const auto first_candidate = static_cast<int32_t>(num_candidates);
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
                      .first_candidate = first_candidate});
    num_candidates += top_k;
  }

  const size_t results_bytes = tasks.size() * sizeof(SelectionResult);
  const size_t bytes =
      RoundUp(results_bytes + static_cast<size_t>(num_candidates) * sizeof(SelectedToken));
  // What is there must be fetched before it moves.
  if (results_ != nullptr && results_used_ + bytes > results_->size_bytes()) {
    PHALANX_RETURN_IF_ERROR(Finish(device));
  }
  PHALANX_RETURN_IF_ERROR(ReserveResults(device, results_used_ + bytes));
  PHALANX_RETURN_IF_ERROR(ReserveSelection(device, tasks.size(), logits.cols));
  sent_tasks_.Send(tasks_.data(), tasks_.size() * sizeof(SelectionTask));

  pending.tasks = tasks_;
  pending.results_at = results_used_;
  pending.candidates_at = results_used_ + results_bytes;
  auto* const at = static_cast<std::byte*>(results_->data()) + results_used_;
  const SelectionParams params{
      .cols = logits.cols,
      .first_id = first_id,
      .num_tasks = static_cast<int32_t>(tasks.size()),
      .num_chunks = NumChunks(logits.cols),
      .num_groups = NumGroups(logits.cols),
      .tasks = static_cast<const SelectionTask*>(sent_tasks_.on_device->data()),
      .chunks = static_cast<ChunkSummary*>(chunks_->data()),
      .group_max = static_cast<uint32_t*>(group_max_->data()),
      .results = reinterpret_cast<SelectionResult*>(at),
      .candidates = reinterpret_cast<SelectedToken*>(at + results_bytes)};
  LaunchSummarizeLogits(device.stream(), params);
  LaunchSelectCandidates(device.stream(), params);
  results_used_ += bytes;
  pending_.push_back(std::move(pending));
  return OkStatus();
}

Status StepSampling::Finish(Device& device) {
  if (results_used_ > 0) device.Fetch(received_->data(), results_->data(), results_used_);
  const Status status = device.Finish();
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
