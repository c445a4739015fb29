// Ops over rows as benchmark cases: normalization, addition, embedding, candidates.
#pragma once

#include <cstdint>

#include "bench/op_case.h"

namespace phalanx {

OpCase MakeRmsNormCase(Backend& backend, int64_t rows, int64_t cols);
OpCase MakeAddRmsNormCase(Backend& backend, int64_t rows, int64_t cols);
OpCase MakeAddCase(Backend& backend, int64_t rows, int64_t cols);
OpCase MakeEmbeddingCase(Backend& backend, int64_t tokens, int64_t hidden_size, int64_t vocab_size);
// top_k largest, the log-sum-exp and, where wanted, the Gumbel argmax of each row.
OpCase MakeCandidatesCase(Backend& backend, int64_t rows, int64_t vocab_size, int32_t top_k,
                          CandidateTask::Gumbel gumbel);

}  // namespace phalanx
