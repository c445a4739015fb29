#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/model/checkpoint_writer.h"

namespace phalanx {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json Base() {
  return json::parse(R"({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
    "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936,
    "max_position_embeddings": 32768, "rope_theta": 1000000.0, "tie_word_embeddings": true,
    "torch_dtype": "bfloat16", "eos_token_id": 151645, "bos_token_id": 151643})");
}

StatusOr<Qwen2Config> Parse(const json& config) {
  return ParseConfig(config.dump(), "config.json");
}

StatusOr<Qwen2Config> ParseWith(const json& patch) {
  json config = Base();
  config.merge_patch(patch);
  return Parse(config);
}

TEST(ConfigTest, ReadsAPublishedShape) {
  const auto config = Parse(Base());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->hidden_size, 896);
  EXPECT_EQ(config->head_dim, 64);
  EXPECT_EQ(config->num_kv_heads, 2);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_EQ(config->dtype, DType::kBF16);
  EXPECT_EQ(config->rope_theta, 1e6);
  EXPECT_THAT(config->eos_token_ids, ElementsAre(151645));
  EXPECT_EQ(config->bos_token_id, 151643);
  EXPECT_EQ(MaxContextTokens(*config), 32768);
}

TEST(ConfigTest, ReadsBothSpellingsOfRope) {
  const auto v4 = ParseWith(json::parse(
      R"({"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}})"));
  const auto v5 = ParseWith(json::parse(
      R"({"rope_theta": null, "torch_dtype": null, "dtype": "float16", "rope_parameters": {"rope_type":
      "yarn", "rope_theta": 1000000.0, "factor": 4.0, "original_max_position_embeddings": 32768}})"));
  ASSERT_TRUE(v4.ok()) << v4.status();
  ASSERT_TRUE(v5.ok()) << v5.status();
  for (const auto* config : {&*v4, &*v5}) {
    EXPECT_EQ(config->rope_theta, 1e6);
    EXPECT_EQ(config->rope_scaling.type, RopeScaling::Type::kYarn);
    EXPECT_EQ(config->rope_scaling.factor, 4.0);
    EXPECT_EQ(config->rope_scaling.original_max_position_embeddings, 32768);
    EXPECT_EQ(MaxContextTokens(*config), 131072);
  }
  EXPECT_EQ(v5->dtype, DType::kF16);
}

TEST(ConfigTest, AcceptsWindowsThatCannotMatter) {
  for (const char* patch : {
           R"({"use_sliding_window": false, "sliding_window": 16, "max_window_layers": 0})",
           R"({"use_sliding_window": true, "sliding_window": 16, "max_window_layers": 24})",
           R"({"use_sliding_window": true, "sliding_window": 32768, "max_window_layers": 0})",
           R"({"use_sliding_window": true, "sliding_window": null, "max_window_layers": 0})",
       }) {
    const auto config = ParseWith(json::parse(patch));
    EXPECT_TRUE(config.ok()) << patch << ": " << config.status();
  }
}

TEST(ConfigTest, RefusesWithFieldValueAndWhatIsAllowed) {
  struct Case {
    const char* patch;
    const char* field;
    const char* found;
  };
  for (const Case& c : {
           Case{R"({"hidden_size": null})", "hidden_size", "missing"},
           Case{R"({"hidden_size": -1})", "hidden_size", "-1"},
           Case{R"({"hidden_size": 1e300})", "hidden_size", "1e+300"},
           Case{R"({"hidden_size": 99999999999999999999})", "hidden_size", "1e+20"},
           Case{R"({"hidden_size": "896"})", "hidden_size", "\"896\""},
           Case{R"({"vocab_size": 0})", "vocab_size", "0"},
           Case{R"({"num_hidden_layers": 100000})", "num_hidden_layers", "100000"},
           Case{R"({"num_key_value_heads": 3})", "num_key_value_heads", "3"},
           Case{R"({"num_key_value_heads": 28})", "num_key_value_heads", "28"},
           Case{R"({"head_dim": 63})", "head_dim", "63"},
           Case{R"({"hidden_size": 7})", "head_dim", "0"},
           Case{R"({"rms_norm_eps": 0})", "rms_norm_eps", "0"},
           Case{R"({"rope_theta": -5})", "rope_theta", "-5"},
           Case{R"({"model_type": "llama"})", "model_type", "llama"},
           Case{R"({"architectures": ["Qwen3ForCausalLM"]})", "architectures", "Qwen3ForCausalLM"},
           Case{R"({"hidden_act": "gelu"})", "hidden_act", "gelu"},
           Case{R"({"torch_dtype": "int8"})", "torch_dtype", "int8"},
           Case{R"({"quantization_config": {"quant_method": "gptq"}})",
                "quantization_config.quant_method", "gptq"},
           Case{R"({"quantization_config": 4})", "quantization_config", "4"},
           Case{R"({"rope_scaling": {"rope_type": "longrope", "factor": 2}})",
                "rope_scaling.rope_type", "longrope"},
           Case{R"({"rope_scaling": {"rope_type": "yarn"}})", "rope_scaling.factor", "missing"},
           Case{R"({"rope_scaling": {"rope_type": "linear", "factor": 0}})", "rope_scaling.factor",
                "0"},
           Case{R"({"rope_scaling": 4})", "rope_scaling", "4"},
           Case{R"({"rope_parameters": {"rope_type": "llama3", "factor": 8}})",
                "rope_parameters.low_freq_factor", "missing"},
           Case{R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})",
                "rope_parameters.full_attention", "{\"rope_type\":\"default\"}"},
           Case{R"({"rope_parameters": {"partial_rotary_factor": 0.5}})",
                "rope_parameters.partial_rotary_factor", "0.5"},
           Case{R"({"partial_rotary_factor": 0.5})", "partial_rotary_factor", "0.5"},
           Case{R"({"use_sliding_window": true, "sliding_window": 4096, "max_window_layers": 10})",
                "use_sliding_window", "true"},
           Case{R"({"layer_types": ["sliding_attention"]})", "layer_types", "sliding_attention"},
           Case{R"({"use_sliding_window": "yes"})", "use_sliding_window", "\"yes\""},
           Case{R"({"eos_token_id": -2})", "eos_token_id", "-2"},
           Case{R"({"eos_token_id": [1, "2"]})", "eos_token_id", "[1,\"2\"]"},
           Case{R"({"tie_word_embeddings": 1})", "tie_word_embeddings", "1"},
       }) {
    const auto config = ParseWith(json::parse(c.patch));
    ASSERT_FALSE(config.ok()) << c.patch;
    EXPECT_EQ(config.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(config.status().message(), HasSubstr(fmt::format("config.json: {}: is ", c.field)));
    EXPECT_THAT(config.status().message(), HasSubstr(c.found)) << c.patch;
    EXPECT_THAT(config.status().message(), HasSubstr("allowed: ")) << c.patch;
  }
}

TEST(ConfigTest, RefusesAKeyThatIsThereTwice) {
  for (const char* twice : {R"({"hidden_size": 64, "hidden_size": 96})",
                            R"({"rope_scaling": {"factor": 2, "factor": 4}})"}) {
    const auto config = ParseConfig(twice, "config.json");
    ASSERT_FALSE(config.ok()) << twice;
    EXPECT_THAT(config.status().message(), HasSubstr("\" is there twice, allowed: once"));
  }
  const auto nested = ParseWith(json::parse(R"({"a": {"x": 1}, "b": {"x": 1, "a": 2}})"));
  EXPECT_TRUE(nested.ok()) << "the same key in different objects: " << nested.status();
}

TEST(ConfigTest, RefusesWhatIsNoFileAndDoesNotWait) {
  const testing::TempDir folder;
  EXPECT_THAT(LoadConfig(folder.path()).status().message(), HasSubstr("config.json: no such file"));
  const auto path = folder.path() / "config.json";
  std::filesystem::create_directory(path);
  EXPECT_THAT(LoadConfig(folder.path()).status().message(),
              HasSubstr("config.json: is a folder, allowed: a regular file"));
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(LoadConfig(folder.path()).status().message(), HasSubstr("is a pipe"));
}

TEST(ConfigTest, RefusesWhatIsNotAnObject) {
  for (const std::string& text : {std::string(), std::string("{"), std::string("[]"),
                                  std::string("{\"a\": \"\xff\"}"), std::string(100000, '[')}) {
    const auto config = ParseConfig(text, "config.json");
    ASSERT_FALSE(config.ok());
    EXPECT_THAT(config.status().message(), HasSubstr("config.json: "));
  }
}

TEST(ConfigTest, ReadsEveryPublishedConfig) {
  const char* shared = std::getenv("PHALANX_SHARED_DIR");
  const std::filesystem::path folder =
      std::filesystem::path(shared != nullptr ? shared : PHALANX_SOURCE_DIR "/../shared") /
      "qwen2/configs";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is absent";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto config = LoadConfig(entry.path());
    EXPECT_TRUE(config.ok()) << config.status();
  }
}

TEST(GenerationConfigTest, AbsentFieldsStayAbsent) {
  const auto config = ParseGenerationConfig(
      R"({"temperature": 0.7, "top_k": 20, "do_sample": true, "eos_token_id": [3, 4],
          "transformers_version": "4.37.0", "top_p": null})",
      "generation_config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FLOAT_EQ(config->temperature.value(), 0.7F);
  EXPECT_EQ(config->top_k, 20);
  EXPECT_EQ(config->do_sample, true);
  EXPECT_FALSE(config->top_p.has_value());
  EXPECT_THAT(config->eos_token_ids, ElementsAre(3, 4));
}

TEST(GenerationConfigTest, MissingFileIsEmptyAndBadFieldsAreRefused) {
  const testing::TempDir folder;
  EXPECT_TRUE(LoadGenerationConfig(folder.path()).ok());
  for (const char* text : {R"({"top_p": 1.5})", R"({"temperature": "hot"})", R"({"top_k": -1})"}) {
    EXPECT_FALSE(ParseGenerationConfig(text, "generation_config.json").ok()) << text;
  }
}

}  // namespace
}  // namespace phalanx
