#include "bench/device_suite.h"

#include "bench/device_attention_cases.h"
#include "bench/device_matmul_cases.h"
#include "bench/device_row_cases.h"
#include "bench/device_sampling_cases.h"

namespace phalanx {
namespace {

struct StepShape {
  int64_t num_seqs;
  int64_t new_tokens;
  int64_t context;
};

// A model's figures, and the sizes of steps that it is measured with.
struct ModelShapes {
  std::string name;
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  int64_t vocab_size;
  int64_t embedding_rows;  // of the table, enough to defeat caches
  std::vector<int64_t> row_counts;
  std::vector<int64_t> logit_row_counts;
  std::vector<StepShape> attention_steps;
  std::vector<StepShape> rope_steps;
};

std::vector<ModelShapes> RealModels() {
  const std::vector<int64_t> rows = {1, 8, 64, 256, 1024};
  const std::vector<int64_t> logit_rows = {1, 8, 64, 256};
  const std::vector<StepShape> attention = {{1, 1, 1024},    {1, 1, 4096},  {16, 1, 1024},
                                            {16, 1, 4096},   {64, 1, 1024}, {64, 1, 4096},
                                            {1, 1024, 1024}, {1, 256, 4096}};
  const std::vector<StepShape> rope = {{1, 1, 1024}, {64, 1, 1024}, {256, 1, 64}, {1, 1024, 1024}};
  return {{"0.5B", 896, 4864, 14, 2, 64, 151936, 151936, rows, logit_rows, attention, rope},
          {"7B", 3584, 18944, 28, 4, 128, 152064, 32768, rows, logit_rows, attention, rope}};
}

std::vector<ModelShapes> ToyModels() {
  return {
      {"toy", 64, 96, 4, 2, 64, 500, 500, {1, 9}, {1, 3}, {{2, 1, 40}, {1, 20, 20}}, {{2, 1, 20}}}};
}

std::vector<ModelShapes> ModelsOn(std::string_view device) {
  return device == "cuda" ? RealModels() : ToyModels();
}

std::vector<DeviceCaseGroup> LinearGroups(const ModelShapes& model) {
  const int64_t qkv = (model.num_heads + 2 * model.num_kv_heads) * model.head_dim;
  const int64_t heads = model.num_heads * model.head_dim;
  constexpr auto kLayout = WeightLayout::kLinear;
  std::vector<DeviceCaseGroup> groups;
  for (const DeviceMatmulShape& shape :
       {DeviceMatmulShape{model.name + " qkv", model.hidden_size, qkv, kLayout, model.row_counts},
        {model.name + " o", heads, model.hidden_size, kLayout, model.row_counts},
        {model.name + " down", model.intermediate_size, model.hidden_size, kLayout,
         model.row_counts},
        {model.name + " lm_head", model.hidden_size, model.vocab_size, kLayout,
         model.logit_row_counts}}) {
    groups.push_back(DeviceMatmulCases(shape));
  }
  return groups;
}

std::vector<DeviceCaseGroup> AttentionGroups(
    const ModelShapes& model, const std::vector<StepShape>& steps,
    DeviceCaseGroup (*group)(const DeviceAttentionShape&)) {
  std::vector<DeviceCaseGroup> groups;
  for (const StepShape& step : steps) {
    groups.push_back(group({.name = model.name,
                            .num_heads = model.num_heads,
                            .num_kv_heads = model.num_kv_heads,
                            .head_dim = model.head_dim,
                            .num_seqs = step.num_seqs,
                            .new_tokens = step.new_tokens,
                            .context = step.context}));
  }
  return groups;
}

std::vector<DeviceCaseGroup> GroupsOf(std::string_view op, const ModelShapes& model) {
  const DeviceRowShape rows{model.name, model.hidden_size, model.row_counts};
  const DeviceSamplingShape logits{model.vocab_size, model.logit_row_counts};
  if (op == "linear") return LinearGroups(model);
  if (op == "gate_up") {
    return {DeviceMatmulCases({model.name, model.hidden_size, 2 * model.intermediate_size,
                               WeightLayout::kGateUp, model.row_counts})};
  }
  if (op == "attention") {
    return AttentionGroups(model, model.attention_steps, DeviceAttentionCases);
  }
  if (op == "rope") return AttentionGroups(model, model.rope_steps, DeviceRopeCases);
  if (op == "rms_norm") return {DeviceRmsNormCases(rows)};
  if (op == "add_rms_norm") return {DeviceAddRmsNormCases(rows)};
  if (op == "add") return {DeviceAddCases(rows)};
  if (op == "embedding") return {DeviceEmbeddingCases(rows, model.embedding_rows)};
  if (op == "gather_rows") {
    return {DeviceGatherRowsCases({model.name, model.hidden_size, model.logit_row_counts})};
  }
  if (op == "sum_parts") return {DeviceSumPartsCases(rows, 2), DeviceSumPartsCases(rows, 8)};
  if (op == "candidates") return {DeviceCandidateCases(logits)};
  if (op == "adjust_logits") return {DeviceAdjustCases(logits)};
  return {};
}

}  // namespace

DeviceEffort EffortOn(std::string_view device) {
  // So that there is more than one copy of most things.
  if (device != "cuda") return {.rotation_bytes = 24 << 10, .cached_bytes = 1 << 10};
  return {.rotation_bytes = int64_t{384} << 20,
          .cached_bytes = int64_t{4} << 20,
          .least_seconds = 3e-3,
          .rounds = 5};
}

std::vector<std::string> DeviceOpNames() {
  return {"linear", "gate_up",   "attention",   "rope",      "rms_norm",   "add_rms_norm",
          "add",    "embedding", "gather_rows", "sum_parts", "candidates", "adjust_logits"};
}

std::vector<DeviceCaseGroup> DeviceGroupsOf(std::string_view op, std::string_view device) {
  std::vector<DeviceCaseGroup> groups;
  for (const ModelShapes& model : ModelsOn(device)) {
    // Both models' vocabularies are of nearly the same size.
    const bool is_of_logits = op == "candidates" || op == "adjust_logits";
    if (is_of_logits && !groups.empty()) break;
    for (DeviceCaseGroup& group : GroupsOf(op, model)) groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace phalanx
