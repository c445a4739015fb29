#include "tests/model/model_group.h"

#include <algorithm>
#include <limits>
#include <thread>

namespace phalanx::testing {
namespace {

constexpr int64_t kBlockSize = 16;

}  // namespace

Best GreedyChoice(const Row& logits) {
  const auto best = std::max_element(logits.begin(), logits.end());
  float second = -std::numeric_limits<float>::infinity();
  for (auto it = logits.begin(); it != logits.end(); ++it) {
    if (it != best) second = std::max(second, *it);
  }
  return {static_cast<int32_t>(best - logits.begin()), *best - second};
}

StatusOr<std::unique_ptr<ModelGroup>> ModelGroup::Load(const GroupOptions& options) {
  std::unique_ptr<ModelGroup> group(new ModelGroup(options));
  group->ranks_.resize(static_cast<size_t>(options.num_ranks));
  auto communicators = MakeThreadGroup(options.num_ranks);
  for (size_t r = 0; r < communicators.size(); ++r) {
    group->ranks_[r].communicator = std::move(communicators[r]);
  }
  PHALANX_RETURN_IF_ERROR(group->OnAllRanks([&](int, Rank& rank) -> Status {
    PHALANX_ASSIGN_OR_RETURN(rank.backend, CreateBackend(options.backend));
    PHALANX_ASSIGN_OR_RETURN(rank.model,
                             Qwen2Model::Load(options.model_dir, options.config, options.model,
                                              *rank.backend, *rank.communicator));
    const int64_t per_sequence = (options.max_sequence_tokens + kBlockSize - 1) / kBlockSize;
    return rank.model->CreateKvCache(rank.model->KvSpec(
        per_sequence * options.num_sequences, kBlockSize, rank.backend->activation_dtype()));
  }));
  return group;
}

Status ModelGroup::OnAllRanks(const std::function<Status(int, Rank&)>& work) {
  std::vector<Status> results(ranks_.size());
  std::vector<std::thread> threads;
  for (size_t r = 0; r < ranks_.size(); ++r) {
    threads.emplace_back([&, r] { results[r] = work(static_cast<int>(r), ranks_[r]); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Status& status : results) PHALANX_RETURN_IF_ERROR(status);
  return OkStatus();
}

StatusOr<std::vector<Row>> ModelGroup::Step(const std::vector<Piece>& pieces) {
  std::vector<int32_t> ids;
  std::vector<int32_t> positions;
  std::vector<int32_t> seq_of_token;
  std::vector<int32_t> row_start = {0};
  std::vector<int32_t> blocks;
  std::vector<int32_t> logit_rows;
  const auto per_sequence =
      static_cast<int32_t>((options_.max_sequence_tokens + kBlockSize - 1) / kBlockSize);
  for (const Piece& piece : pieces) {
    PHALANX_CHECK_LT(piece.sequence, options_.num_sequences);
    PHALANX_CHECK_LE(piece.start + static_cast<int64_t>(piece.tokens.size()),
                     options_.max_sequence_tokens);
    for (size_t i = 0; i < piece.tokens.size(); ++i) {
      const bool last = i + 1 == piece.tokens.size();
      if (piece.want == Piece::Want::kAll || (piece.want == Piece::Want::kLast && last)) {
        logit_rows.push_back(static_cast<int32_t>(ids.size()));
      }
      ids.push_back(piece.tokens[i]);
      positions.push_back(piece.start + static_cast<int32_t>(i));
      seq_of_token.push_back(static_cast<int32_t>(row_start.size()) - 1);
    }
    row_start.push_back(static_cast<int32_t>(ids.size()));
    // Blocks of a sequence lie apart and backwards, so that nothing relies on neighbours.
    for (int32_t b = 0; b < per_sequence; ++b) {
      blocks.push_back((per_sequence - 1 - b) * static_cast<int32_t>(options_.num_sequences) +
                       piece.sequence);
    }
  }
  ForwardBatch batch;
  batch.token_ids = ids;
  batch.logit_rows = logit_rows;
  batch.batch = {static_cast<int64_t>(ids.size()),
                 static_cast<int64_t>(pieces.size()),
                 per_sequence,
                 positions.data(),
                 seq_of_token.data(),
                 row_start.data(),
                 blocks.data()};
  std::vector<Row> logits(logit_rows.size(), Row(static_cast<size_t>(options_.config.vocab_size),
                                                 std::numeric_limits<float>::quiet_NaN()));
  PHALANX_RETURN_IF_ERROR(OnAllRanks([&](int, Rank& rank) -> Status {
    PHALANX_ASSIGN_OR_RETURN(const TensorView on_device, rank.model->Forward(batch));
    const TensorView local = rank.backend->HostView(on_device);
    PHALANX_RETURN_IF_ERROR(rank.backend->Finish());
    const Range vocab = rank.model->shard().vocab;
    for (int64_t r = 0; r < local.rows; ++r) {
      std::copy_n(local.row<float>(r), vocab.size(),
                  logits[static_cast<size_t>(r)].begin() + vocab.begin);
    }
    return OkStatus();
  }));
  return logits;
}

StatusOr<std::vector<ModelGroup::Generation>> ModelGroup::Generate(
    const std::vector<std::vector<int32_t>>& prompts, int max_tokens, int64_t chunk,
    PromptLogits prompt_logits) {
  std::vector<Generation> results(prompts.size());
  std::vector<int32_t> next(prompts.size());
  const auto choose = [&](size_t s, const Row& row) {
    const Best best = GreedyChoice(row);
    results[s].tokens.push_back(best.id);
    results[s].margins.push_back(best.margin);
    next[s] = best.id;
  };
  const auto want = prompt_logits == PromptLogits::kYes ? Piece::Want::kAll : Piece::Want::kLast;
  for (size_t s = 0; s < prompts.size(); ++s) {
    const auto length = static_cast<int64_t>(prompts[s].size());
    for (int64_t begin = 0; begin < length; begin += chunk) {
      const int64_t end = std::min(begin + chunk, length);
      PHALANX_ASSIGN_OR_RETURN(auto rows,
                               Step({{static_cast<int32_t>(s),
                                      static_cast<int32_t>(begin),
                                      {prompts[s].begin() + begin, prompts[s].begin() + end},
                                      want}}));
      if (end == length && max_tokens > 0) choose(s, rows.back());
      if (prompt_logits == PromptLogits::kYes) {
        std::move(rows.begin(), rows.end(), std::back_inserter(results[s].prompt_logits));
      }
    }
  }
  for (int t = 1; t < max_tokens; ++t) {
    std::vector<Piece> pieces;
    for (size_t s = 0; s < prompts.size(); ++s) {
      pieces.push_back({static_cast<int32_t>(s),
                        static_cast<int32_t>(prompts[s].size()) + t - 1,
                        {next[s]},
                        Piece::Want::kLast});
    }
    PHALANX_ASSIGN_OR_RETURN(const auto rows, Step(pieces));
    for (size_t s = 0; s < prompts.size(); ++s) choose(s, rows[s]);
  }
  return results;
}

}  // namespace phalanx::testing
