// What a checkpoint's config.json and generation_config.json say, validated.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/base/status.h"
#include "model/compressed_tensors.h"

namespace phalanx {

// Rope scaling as Hugging Face transformers honours it for Qwen2.
struct RopeScaling {
  // kDynamic (dynamic NTK) changes nothing up to max_position_embeddings, which is as far as it is
  // served: beyond, the frequencies would depend on the length of the sequence.
  enum class Type : uint8_t { kNone, kLinear, kDynamic, kYarn, kLlama3 };
  Type type = Type::kNone;
  double factor = 1.0;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32.0;  // kYarn
  double beta_slow = 1.0;   // kYarn
  // kYarn. Missing: 0.1 ln(factor) + 1, or the ratio of two such terms weighted by mscale and
  // mscale_all_dim where both are given.
  std::optional<double> attention_factor;
  std::optional<double> mscale;
  std::optional<double> mscale_all_dim;
  bool truncate = true;           // kYarn
  double low_freq_factor = 1.0;   // kLlama3
  double high_freq_factor = 4.0;  // kLlama3
};

struct Qwen2Config {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  bool tie_word_embeddings = false;
  DType dtype =
      DType::kBF16;  // of the checkpoint ("torch_dtype" or "dtype"), used for dummy weights
  std::vector<int32_t> eos_token_ids;
  std::optional<int32_t> bos_token_id;
  StoredIntegers stored;  // of the layers' matrices
};

// The longest sequence that the position embedding is meant for: max_position_embeddings, or what
// the rope scaling stretches it to.
int64_t MaxContextTokens(const Qwen2Config& config);

// Defaults for sampling that the checkpoint's author chose. Absent fields stay absent.
struct GenerationConfig {
  std::optional<float> temperature;
  std::optional<int32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<bool> do_sample;  // false: temperature 0
  std::vector<int32_t> eos_token_ids;
};

// Errors name the file, the field, what was found and what is allowed. Fields that would change the
// result and are not supported (sliding-window attention in use, unknown rope types, other
// architectures) are refused.
StatusOr<Qwen2Config> LoadConfig(const std::filesystem::path& model_dir);
StatusOr<Qwen2Config> ParseConfig(std::string_view json, std::string_view file_name);
// A missing file gives the empty configuration.
StatusOr<GenerationConfig> LoadGenerationConfig(const std::filesystem::path& model_dir);
StatusOr<GenerationConfig> ParseGenerationConfig(std::string_view json, std::string_view file_name);

}  // namespace phalanx
