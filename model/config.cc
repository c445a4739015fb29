#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/file.h"
#include "kernels/packed_weight.h"
#include "model/json_fields.h"

namespace phalanx {
namespace {

using nlohmann::json;
using Bound = JsonFields::Bound;

constexpr int64_t kMaxFileBytes = 1 << 20;
constexpr int64_t kMaxPositions = 1 << 24;

void ParseArchitecture(JsonFields& fields) {
  const std::string model_type = fields.String("model_type", "qwen2");
  if (model_type != "qwen2") fields.Refuse("model_type", model_type, "qwen2");
  if (fields.Has("architectures")) {
    const json& raw = fields.Raw("architectures");
    if (raw != json::array({"Qwen2ForCausalLM"})) {
      fields.Refuse("architectures", ShowJson(raw), "[\"Qwen2ForCausalLM\"]");
    }
  } else if (!fields.Has("model_type")) {
    fields.Refuse("model_type", "missing", "qwen2");
  }
  const std::string hidden_act = fields.String("hidden_act", "silu");
  if (hidden_act != "silu") fields.Refuse("hidden_act", hidden_act, "silu");
}

void ParseShape(JsonFields& fields, Qwen2Config& config) {
  config.hidden_size = fields.RequiredInt("hidden_size", 1, 1 << 17);
  config.intermediate_size = fields.RequiredInt("intermediate_size", 1, 1 << 20);
  config.num_layers = fields.RequiredInt("num_hidden_layers", 1, 1024);
  config.num_heads = fields.RequiredInt("num_attention_heads", 1, 1024);
  config.num_kv_heads = fields.Int("num_key_value_heads", config.num_heads, 1, config.num_heads);
  config.vocab_size = fields.RequiredInt("vocab_size", 1, 1 << 24);
  config.head_dim =
      fields.Int("head_dim", config.hidden_size / std::max<int64_t>(config.num_heads, 1), 1, 1024);
  config.max_position_embeddings = fields.Int("max_position_embeddings", 32768, 1, kMaxPositions);
  config.rms_norm_eps = fields.Double("rms_norm_eps", 1e-6, 0.0, 1.0, Bound::kExclusive);
  config.tie_word_embeddings = fields.Bool("tie_word_embeddings", false);
  if (config.num_heads % config.num_kv_heads != 0) {
    fields.Refuse("num_key_value_heads", std::to_string(config.num_kv_heads),
                  fmt::format("a divisor of num_attention_heads ({})", config.num_heads));
  }
  if (config.head_dim % 2 != 0 || config.head_dim == 0) {
    fields.Refuse("head_dim", std::to_string(config.head_dim),
                  "an even number from 2 to 1024, because rotary embeddings turn pairs");
  }
}

void ParseDType(JsonFields& fields, Qwen2Config& config) {
  const char* field = fields.Has("dtype") ? "dtype" : "torch_dtype";
  std::string name = fields.String(field, "bfloat16");
  if (name.starts_with("torch.")) name = name.substr(6);
  if (name == "bfloat16") {
    config.dtype = DType::kBF16;
  } else if (name == "float16") {
    config.dtype = DType::kF16;
  } else if (name == "float32") {
    config.dtype = DType::kF32;
  } else {
    fields.Refuse(field, name, "bfloat16, float16 or float32");
  }
}

StatusOr<RopeScaling> ParseRopeScaling(const json& object, std::string_view file_name,
                                       std::string_view name, std::string_view type_name,
                                       int64_t max_positions) {
  JsonFields fields(object, file_name, fmt::format("{}.", name));
  using Type = RopeScaling::Type;
  RopeScaling scaling;
  if (type_name == "default") {
    return scaling;
  }
  if (type_name == "linear") {
    scaling.type = Type::kLinear;
  } else if (type_name == "dynamic") {
    scaling.type = Type::kDynamic;
  } else if (type_name == "yarn") {
    scaling.type = Type::kYarn;
  } else if (type_name == "llama3") {
    scaling.type = Type::kLlama3;
  } else {
    fields.Refuse("rope_type", type_name, "default, linear, dynamic, yarn or llama3");
    return fields.status();
  }
  constexpr double kMaxFactor = 1e6;
  const auto factor = fields.OptionalDouble("factor", 0.0, kMaxFactor, Bound::kExclusive);
  if (!factor) fields.Refuse("factor", "missing", "a number above 0");
  scaling.factor = factor.value_or(1.0);
  scaling.original_max_position_embeddings =
      fields.Int("original_max_position_embeddings", max_positions, 1, kMaxPositions);
  if (scaling.type == Type::kYarn) {
    // As in transformers, a rotation count of 0 means "not given".
    const double fast = fields.Double("beta_fast", 32.0, 0.0, kMaxFactor);
    const double slow = fields.Double("beta_slow", 1.0, 0.0, kMaxFactor);
    scaling.beta_fast = fast == 0.0 ? 32.0 : fast;
    scaling.beta_slow = slow == 0.0 ? 1.0 : slow;
    scaling.attention_factor = fields.OptionalDouble("attention_factor", 0.0, kMaxFactor);
    scaling.mscale = fields.OptionalDouble("mscale", 0.0, kMaxFactor);
    scaling.mscale_all_dim = fields.OptionalDouble("mscale_all_dim", 0.0, kMaxFactor);
    scaling.truncate = fields.Bool("truncate", true);
  }
  if (scaling.type == Type::kLlama3) {
    const auto low = fields.OptionalDouble("low_freq_factor", 0.0, kMaxFactor, Bound::kExclusive);
    const auto high = fields.OptionalDouble("high_freq_factor", 0.0, kMaxFactor, Bound::kExclusive);
    if (!low) fields.Refuse("low_freq_factor", "missing", "a number above 0");
    if (!high) fields.Refuse("high_freq_factor", "missing", "a number above low_freq_factor");
    scaling.low_freq_factor = low.value_or(1.0);
    scaling.high_freq_factor = high.value_or(4.0);
    if (scaling.high_freq_factor <= scaling.low_freq_factor) {
      fields.Refuse("high_freq_factor", fmt::format("{}", scaling.high_freq_factor),
                    fmt::format("more than low_freq_factor ({})", scaling.low_freq_factor));
    }
  }
  PHALANX_RETURN_IF_ERROR(fields.status());
  return scaling;
}

void RefusePartialRotation(JsonFields& fields) {
  const double rotary = fields.Double("partial_rotary_factor", 1.0, 0.0, 1.0);
  if (rotary != 1.0) fields.Refuse("partial_rotary_factor", fmt::format("{}", rotary), "1");
}

// transformers 4 writes rope_theta and rope_scaling, transformers 5 one object rope_parameters.
// Where both are there, rope_scaling wins and rope_theta fills what it leaves out, as in
// transformers 5.
Status ParseRope(JsonFields& fields, std::string_view file_name, Qwen2Config& config) {
  constexpr double kMaxTheta = 1e15;
  config.rope_theta = fields.Double("rope_theta", 10000.0, 1.0, kMaxTheta, Bound::kExclusive);
  RefusePartialRotation(fields);
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    if (!fields.Has(name)) continue;
    const json& raw = fields.Raw(name);
    if (raw.is_object() && raw.empty()) continue;
    if (!raw.is_object()) {
      fields.Refuse(name, ShowJson(raw), "an object or null");
      break;
    }
    JsonFields rope(raw, file_name, fmt::format("{}.", name));
    config.rope_theta =
        rope.Double("rope_theta", config.rope_theta, 1.0, kMaxTheta, Bound::kExclusive);
    RefusePartialRotation(rope);
    for (const auto& [key, value] : raw.items()) {
      if (value.is_object())
        rope.Refuse(key, ShowJson(value), "one rotary embedding for all layers");
    }
    const std::string type = rope.String("rope_type", rope.String("type", "default"));
    PHALANX_RETURN_IF_ERROR(rope.status());
    const int64_t original = fields.Int("original_max_position_embeddings",
                                        config.max_position_embeddings, 1, kMaxPositions);
    PHALANX_ASSIGN_OR_RETURN(config.rope_scaling,
                             ParseRopeScaling(raw, file_name, name, type, original));
    // A value outside the object has priority in transformers.
    if (fields.Has("original_max_position_embeddings")) {
      config.rope_scaling.original_max_position_embeddings = original;
    }
    break;
  }
  return fields.status();
}

// Sliding-window attention is not implemented; a window that no sequence can outgrow is the same as
// full attention.
void RefuseSlidingWindow(JsonFields& fields, const Qwen2Config& config) {
  const bool in_use = fields.Bool("use_sliding_window", false);
  const int64_t window = fields.Int("sliding_window", 4096, 0, int64_t{1} << 40);
  const int64_t max_window_layers = fields.Int("max_window_layers", 28, 0, 1 << 20);
  if (in_use && window >= MaxContextTokens(config)) return;
  if (fields.Has("layer_types")) {
    const json& raw = fields.Raw("layer_types");
    const bool all_full =
        raw.is_array() && static_cast<int64_t>(raw.size()) == config.num_layers &&
        std::all_of(raw.begin(), raw.end(), [](const json& v) { return v == "full_attention"; });
    if (!all_full) {
      fields.Refuse("layer_types", ShowJson(raw),
                    fmt::format("{} times \"full_attention\" (sliding-window attention is not "
                                "supported)",
                                config.num_layers));
    }
    return;
  }
  const bool null_window = !fields.Has("sliding_window") && in_use;
  if (in_use && !null_window && max_window_layers < config.num_layers) {
    fields.Refuse("use_sliding_window", "true",
                  fmt::format("false, or max_window_layers >= num_hidden_layers ({}), or "
                              "sliding_window >= {}: sliding-window attention is not supported",
                              config.num_layers, MaxContextTokens(config)));
  }
}

}  // namespace

int64_t MaxContextTokens(const Qwen2Config& config) {
  using Type = RopeScaling::Type;
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.type != Type::kYarn && scaling.type != Type::kLlama3) {
    return config.max_position_embeddings;
  }
  const double stretched =
      scaling.factor * static_cast<double>(scaling.original_max_position_embeddings);
  return std::max(config.max_position_embeddings,
                  static_cast<int64_t>(std::min(stretched, static_cast<double>(kMaxPositions))));
}

StatusOr<Qwen2Config> ParseConfig(std::string_view text, std::string_view file_name) {
  PHALANX_ASSIGN_OR_RETURN(const json object, ParseJsonObject(text, file_name));
  JsonFields fields(object, file_name);
  Qwen2Config config;
  ParseArchitecture(fields);
  PHALANX_RETURN_IF_ERROR(fields.status());
  ParseShape(fields, config);
  ParseDType(fields, config);
  PHALANX_RETURN_IF_ERROR(fields.status());
  PHALANX_RETURN_IF_ERROR(ParseRope(fields, file_name, config));
  RefuseSlidingWindow(fields, config);
  if (fields.Has("quantization_config")) {
    PHALANX_ASSIGN_OR_RETURN(config.stored, ParseStoredIntegers(fields.Raw("quantization_config"),
                                                                file_name, kQuantizationUnit));
  }
  config.eos_token_ids = fields.TokenIds("eos_token_id");
  if (const auto bos = fields.OptionalInt("bos_token_id", 0, 0x7fffffff)) {
    config.bos_token_id = static_cast<int32_t>(*bos);
  }
  PHALANX_RETURN_IF_ERROR(fields.status());
  return config;
}

StatusOr<Qwen2Config> LoadConfig(const std::filesystem::path& model_dir) {
  const std::filesystem::path path = model_dir / "config.json";
  PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kMaxFileBytes));
  return ParseConfig(text, path.string());
}

StatusOr<GenerationConfig> ParseGenerationConfig(std::string_view text,
                                                 std::string_view file_name) {
  PHALANX_ASSIGN_OR_RETURN(const json object, ParseJsonObject(text, file_name));
  JsonFields fields(object, file_name);
  const auto to_float = [](std::optional<double> value) -> std::optional<float> {
    if (!value) return std::nullopt;
    return static_cast<float>(*value);
  };
  GenerationConfig config;
  config.temperature = to_float(fields.OptionalDouble("temperature", 0.0, 100.0));
  if (const auto top_k = fields.OptionalInt("top_k", 0, 0x7fffffff)) {
    config.top_k = static_cast<int32_t>(*top_k);
  }
  config.top_p = to_float(fields.OptionalDouble("top_p", 0.0, 1.0, Bound::kExclusive));
  config.min_p = to_float(fields.OptionalDouble("min_p", 0.0, 1.0));
  config.repetition_penalty =
      to_float(fields.OptionalDouble("repetition_penalty", 0.0, 10.0, Bound::kExclusive));
  config.do_sample = fields.OptionalBool("do_sample");
  config.eos_token_ids = fields.TokenIds("eos_token_id");
  PHALANX_RETURN_IF_ERROR(fields.status());
  return config;
}

StatusOr<GenerationConfig> LoadGenerationConfig(const std::filesystem::path& model_dir) {
  const std::filesystem::path path = model_dir / "generation_config.json";
  auto text = ReadSmallFile(path, kMaxFileBytes);
  if (!text.ok() && text.status().code() == StatusCode::kNotFound) return GenerationConfig{};
  if (!text.ok()) return std::move(text).status();
  return ParseGenerationConfig(*text, path.string());
}

}  // namespace phalanx
