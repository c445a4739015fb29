#include "bench/op_case.h"

#include <array>

#include "bench/attention_cases.h"
#include "bench/matmul_cases.h"
#include "bench/row_cases.h"

namespace phalanx {
namespace {

std::vector<OpCaseFactory> MatmulCases(const std::vector<MatmulShape>& shapes,
                                       const std::vector<int64_t>& row_counts) {
  std::vector<OpCaseFactory> cases;
  for (MatmulShape shape : shapes) {
    for (const int64_t rows : row_counts) {
      shape.rows = rows;
      cases.push_back([shape](Backend& backend) { return MakeMatmulCase(backend, shape); });
    }
  }
  return cases;
}

std::vector<OpCaseFactory> LinearCases() {
  std::vector<OpCaseFactory> cases;
  for (const MatmulShape& shape : LinearShapes()) {
    cases.push_back([shape](Backend& backend) { return MakeMatmulCase(backend, shape); });
  }
  return cases;
}

std::vector<OpCaseFactory> GateUpCases() {
  constexpr auto kLayout = WeightLayout::kGateUp;
  return MatmulCases({{.name = "0.5B", .in = 896, .out = 2 * 4864, .layout = kLayout},
                      {.name = "0.5B 1/2", .in = 896, .out = 2 * 2432, .layout = kLayout},
                      {.name = "7B", .in = 3584, .out = 2 * 18944, .layout = kLayout},
                      {.name = "7B 1/4", .in = 3584, .out = 2 * 4736, .layout = kLayout}},
                     {1, 16, 512});
}

std::vector<AttentionShape> AttentionShapes() {
  const AttentionShape small{.name = "0.5B", .num_heads = 14, .num_kv_heads = 2, .head_dim = 64};
  const AttentionShape large{.name = "7B", .num_heads = 28, .num_kv_heads = 4, .head_dim = 128};
  std::vector<AttentionShape> shapes;
  for (AttentionShape shape : {small, large}) {
    for (const auto& [seqs, new_tokens, context] :
         {std::array<int64_t, 3>{1, 1, 2048}, {16, 1, 1024}, {1, 512, 512}, {1, 256, 4096}}) {
      shape.num_seqs = seqs;
      shape.new_tokens = new_tokens;
      shape.context = context;
      shapes.push_back(shape);
    }
  }
  AttentionShape half = small;
  half.name = "0.5B 1/2";
  half.num_heads = 7;
  half.num_kv_heads = 1;
  half.context = 2048;
  shapes.push_back(half);
  AttentionShape bf16 = small;
  bf16.context = 2048;
  bf16.dtype = DType::kBF16;
  shapes.push_back(bf16);
  return shapes;
}

template <typename Make>
std::vector<OpCaseFactory> AttentionCases(const Make& make) {
  std::vector<OpCaseFactory> cases;
  for (const AttentionShape& shape : AttentionShapes()) {
    cases.push_back([make, shape](Backend& backend) { return make(backend, shape); });
  }
  return cases;
}

template <typename Make>
std::vector<OpCaseFactory> RowCases(const Make& make) {
  std::vector<OpCaseFactory> cases;
  for (const int64_t cols : {896, 3584}) {
    for (const int64_t rows : {1, 16, 512}) {
      cases.push_back([=](Backend& backend) { return make(backend, rows, cols); });
    }
  }
  return cases;
}

std::vector<OpCaseFactory> EmbeddingCases() {
  std::vector<OpCaseFactory> cases;
  for (const int64_t tokens : {1, 16, 512}) {
    cases.push_back(
        [=](Backend& backend) { return MakeEmbeddingCase(backend, tokens, 896, 32000); });
  }
  return cases;
}

std::vector<OpCaseFactory> CandidateCases() {
  std::vector<OpCaseFactory> cases;
  for (const int64_t rows : {1, 16}) {
    for (const int32_t top_k : {1, 20, 1024}) {
      for (const auto gumbel : {CandidateTask::Gumbel::kNone, CandidateTask::Gumbel::kWanted}) {
        cases.push_back([=](Backend& backend) {
          return MakeCandidatesCase(backend, rows, 151936, top_k, gumbel);
        });
      }
    }
  }
  cases.push_back([](Backend& backend) {
    return MakeCandidatesCase(backend, 1, 151936, 151936, CandidateTask::Gumbel::kNone);
  });
  return cases;
}

}  // namespace

std::vector<std::string> OpNames() {
  return {"linear",       "gate_up", "attention", "rope",      "rms_norm",
          "add_rms_norm", "add",     "embedding", "candidates"};
}

std::vector<OpCaseFactory> CasesOf(std::string_view op) {
  if (op == "linear") return LinearCases();
  if (op == "gate_up") return GateUpCases();
  if (op == "attention") return AttentionCases(MakeAttentionCase);
  if (op == "rope") return AttentionCases(MakeRopeCase);
  if (op == "rms_norm") return RowCases(MakeRmsNormCase);
  if (op == "add_rms_norm") return RowCases(MakeAddRmsNormCase);
  if (op == "add") return RowCases(MakeAddCase);
  if (op == "embedding") return EmbeddingCases();
  if (op == "candidates") return CandidateCases();
  return {};
}

}  // namespace phalanx
