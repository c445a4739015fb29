// QkvRopeAppend and PagedAttention as benchmark cases.
#pragma once

#include <cstdint>
#include <string>

#include "bench/op_case.h"

namespace phalanx {

struct AttentionShape {
  std::string name;
  int64_t num_seqs = 1;
  int64_t new_tokens = 1;  // rows of each sequence in the step
  int64_t context = 1;     // tokens of each sequence, the new ones included
  int64_t num_heads = 14;
  int64_t num_kv_heads = 2;
  int64_t head_dim = 64;
  DType dtype = DType::kF32;
};
OpCase MakeRopeCase(Backend& backend, const AttentionShape& shape);
OpCase MakeAttentionCase(Backend& backend, const AttentionShape& shape);

}  // namespace phalanx
