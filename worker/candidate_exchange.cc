#include "worker/candidate_exchange.h"

#include <algorithm>
#include <limits>
#include <type_traits>

namespace phalanx {

static_assert(std::is_trivially_copyable_v<TaskRecord> && sizeof(TaskRecord) % 8 == 0);
static_assert(std::is_trivially_copyable_v<TokenCandidate>);

void CandidateExchange::Start(std::span<const CandidateTask> tasks) {
  tasks_ = tasks;
  first_candidate_.clear();
  size_t num_candidates = 0;
  for (const CandidateTask& task : tasks) {
    first_candidate_.push_back(num_candidates);
    num_candidates += static_cast<size_t>(task.top_k);
  }
  const size_t records_bytes = tasks.size() * sizeof(TaskRecord);
  // Rounded up, so that the next shard's records are aligned in what is gathered.
  constexpr size_t kAlignment = alignof(TaskRecord);
  const size_t bytes = (records_bytes + num_candidates * sizeof(TokenCandidate) + kAlignment - 1) /
                       kAlignment * kAlignment;
  send_.assign(bytes, std::byte{0});
  recv_.resize(bytes * num_shards());
  std::fill_n(reinterpret_cast<TokenCandidate*>(send_.data() + records_bytes), num_candidates,
              TokenCandidate{});
}

TaskRecord& CandidateExchange::mine(size_t task) {
  return reinterpret_cast<TaskRecord*>(send_.data())[task];
}

std::span<TokenCandidate> CandidateExchange::my_candidates(size_t task) {
  auto* const candidates =
      reinterpret_cast<TokenCandidate*>(send_.data() + tasks_.size() * sizeof(TaskRecord));
  return {candidates + first_candidate_[task], static_cast<size_t>(tasks_[task].top_k)};
}

Status CandidateExchange::Gather() { return communicator_.AllGather(send_, recv_); }

const TaskRecord& CandidateExchange::record(size_t shard, size_t task) const {
  return reinterpret_cast<const TaskRecord*>(recv_.data() + shard * send_.size())[task];
}

std::span<const CandidateList> CandidateExchange::Lists(size_t task) {
  lists_.clear();
  const auto top_k = static_cast<size_t>(tasks_[task].top_k);
  for (size_t shard = 0; shard < num_shards(); ++shard) {
    const auto* candidates = reinterpret_cast<const TokenCandidate*>(
        recv_.data() + shard * send_.size() + tasks_.size() * sizeof(TaskRecord));
    lists_.push_back({.tokens = {candidates + first_candidate_[task], top_k},
                      .truncated = shards_[shard].size() > tasks_[task].top_k});
  }
  return lists_;
}

TotalMass CandidateExchange::Mass(size_t task, double inv_temperature) {
  masses_.clear();
  for (size_t shard = 0; shard < num_shards(); ++shard) {
    const TaskRecord& of_shard = record(shard, task);
    masses_.push_back({.max = of_shard.max, .sum_exp = of_shard.sum_exp});
  }
  return CombineMass(masses_, inv_temperature);
}

int64_t CandidateExchange::NumNan(size_t task) const {
  int64_t count = 0;
  for (size_t shard = 0; shard < num_shards(); ++shard) count += record(shard, task).num_nan;
  return count;
}

StatusOr<std::span<const TokenCandidate>> RowGather::Gather(
    std::initializer_list<std::span<const float>> rows) {
  int64_t longest = 0;
  for (const Range& shard : shards_) longest = std::max(longest, shard.size());
  const auto width = static_cast<size_t>(longest);
  send_.assign(rows.size() * width, 0.0F);
  recv_.resize(send_.size() * shards_.size());
  auto out = send_.begin();
  for (const std::span<const float> row : rows) {
    std::ranges::copy(row, out);
    out += static_cast<std::ptrdiff_t>(width);
  }
  PHALANX_RETURN_IF_ERROR(communicator_.AllGather(std::as_bytes(std::span(send_)),
                                                  std::as_writable_bytes(std::span(recv_))));
  tokens_.clear();
  for (size_t s = 0; s < shards_.size(); ++s) {
    const float* const adjusted = recv_.data() + s * send_.size();
    const float* const raw = adjusted + (rows.size() - 1) * width;
    for (int64_t id = shards_[s].begin; id < shards_[s].end; ++id) {
      const auto column = static_cast<size_t>(id - shards_[s].begin);
      if (adjusted[column] == -std::numeric_limits<float>::infinity()) continue;
      tokens_.push_back(
          {.id = static_cast<int32_t>(id), .logit = adjusted[column], .raw = raw[column]});
    }
  }
  std::sort(tokens_.begin(), tokens_.end(), [](const TokenCandidate& a, const TokenCandidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  });
  return tokens_;
}

}  // namespace phalanx
