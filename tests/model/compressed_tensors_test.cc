// Folders of integer weights: what is made of a folder of floats serves as the same weights rounded
// while they are read, on any number of ranks; and what is wrong with one is named.
#include "model/compressed_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "model/quantize_checkpoint.h"
#include "model/safetensors.h"
#include "tests/model/checkpoint_writer.h"
#include "tests/model/model_group.h"

namespace phalanx {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::ModelGroup;
using testing::RawTensor;
using testing::RawTensors;
using testing::TempDir;
using Form = StoredIntegers::Form;
namespace fs = std::filesystem;

constexpr uint64_t kSeed = 5;
constexpr std::string_view kDown = "model.layers.1.mlp.down_proj.weight";

TEST(StoredIntegersTest, TheFirstFeatureIsInTheLowestBits) {
  std::vector<std::byte> bytes(4);
  PackIntegers({Form::kPacked, 4, 64}, std::vector<int8_t>{-8, 7, 0, -1, 1}, bytes);
  const std::vector<std::byte> four = {std::byte{0xf0}, std::byte{0x78}, std::byte{0x09},
                                       std::byte{0}};
  EXPECT_EQ(bytes, four);
  PackIntegers({Form::kPacked, 8, 0}, std::vector<int8_t>{-128, 127, 0}, bytes);
  const std::vector<std::byte> eight = {std::byte{0}, std::byte{0xff}, std::byte{0x80},
                                        std::byte{0}};
  EXPECT_EQ(bytes, eight);
}

TEST(StoredIntegersTest, WhatIsPackedComesBack) {
  for (const StoredIntegers stored :
       {StoredIntegers{Form::kPacked, 4, 64}, {Form::kPacked, 8, 0}, {Form::kInts, 8, 0}}) {
    std::vector<int8_t> values(517);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<int8_t>(static_cast<int>(i * 37 % (1U << stored.bits)) -
                                      (1 << (stored.bits - 1)));
    }
    std::vector<std::byte> bytes(static_cast<size_t>(stored.RowBytes(517)));
    std::vector<int8_t> back(values.size());
    PackIntegers(stored, values, bytes);
    UnpackIntegers(stored, bytes, back);
    EXPECT_EQ(back, values);
  }
}

TEST(StoredIntegersTest, ADescriptionIsRead) {
  for (const StoredIntegers stored :
       {StoredIntegers{Form::kPacked, 4, 64}, {Form::kPacked, 8, 0}, {Form::kInts, 8, 0}}) {
    const json description = DescribeStoredIntegers(stored);
    const auto parsed = ParseStoredIntegers(description, "config.json", 64);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->form, stored.form);
    EXPECT_EQ(parsed->bits, stored.bits);
    EXPECT_EQ(parsed->group_size, stored.group_size);
  }
}

TEST(StoredIntegersTest, WhatIsNotServedIsNamed) {
  struct Case {
    std::string_view pointer;
    json value;
    std::string_view expected;
  };
  const std::string weights = "/config_groups/group_0/weights";
  const std::vector<Case> cases = {
      {"/quant_method", "gptq", "quantization_config.quant_method: is \"gptq\", allowed: "},
      {"/format", "marlin-24", "quantization_config.format: is \"marlin-24\", allowed: "},
      {"/kv_cache_scheme", json{{"num_bits", 8}}, "quantization_config.kv_cache_scheme: is "},
      {"/ignore", {"model.layers.0.mlp.up_proj"}, "quantization_config.ignore: is "},
      {"/config_groups", json::object(), "quantization_config.config_groups: is {}, allowed: one"},
      {"/config_groups/group_0/targets", {"re:.*up"}, "group_0.targets: is [\"re:.*up\"], allowed"},
      {"/config_groups/group_0/weights", nullptr, "group_0.weights: is null, allowed: an object"},
      {"/config_groups/group_0/weights/num_bits", 3, "weights.num_bits: is 3, allowed: 8 or 4"},
      {"/config_groups/group_0/weights/type", "float", "weights.type: is \"float\", allowed: "},
      {"/config_groups/group_0/weights/symmetric", false, "symmetric: is false, allowed: true"},
      {"/config_groups/group_0/weights/actorder", "group", "actorder: is \"group\", allowed: "},
      {"/config_groups/group_0/weights/strategy", "tensor", "strategy: is \"tensor\", allowed: "},
      {"/config_groups/group_0/weights/group_size", 32, "is 32, allowed: a multiple of 64"},
      {"/config_groups/group_0/weights/group_size", 0, "is 0, allowed: a multiple of 64"},
      {"/format", "int-quantized", "num_bits: is 4, allowed: 8 where the format is"},
  };
  for (const Case& c : cases) {
    json description = DescribeStoredIntegers({Form::kPacked, 4, 64});
    description[json::json_pointer(std::string(c.pointer))] = c.value;
    const auto parsed = ParseStoredIntegers(description, "config.json", 64);
    ASSERT_FALSE(parsed.ok()) << c.pointer;
    EXPECT_THAT(parsed.status().message(), HasSubstr(c.expected));
    EXPECT_THAT(parsed.status().message(), HasSubstr("config.json: "));
  }
}

class QuantizedFolderTest : public ::testing::Test {
 protected:
  QuantizedFolderTest() {
    config_.hidden_size = 160;
    config_.intermediate_size = 517;
    config_.num_layers = 2;
    config_.num_heads = 6;
    config_.num_kv_heads = 2;
    config_.head_dim = 40;
    config_.vocab_size = 300;
    config_.max_position_embeddings = 128;
    config_.tie_word_embeddings = true;
    fs::create_directory(plain());
    testing::WriteFile(plain() / "config.json", R"({"model_type": "qwen2", "zebra": 1, "a": 2})");
    testing::WriteFile(plain() / "tokenizer.json", "{}");
    tensors_ = testing::DummyCheckpoint(config_, kSeed);
    testing::WriteSafetensors(plain() / "model.safetensors", tensors_);
  }

  fs::path plain() const { return folder_.path() / "plain"; }
  fs::path made() const { return folder_.path() / "made"; }

  StatusOr<QuantizeSummary> Quantize(Quantization quantization) {
    fs::remove_all(made());
    return QuantizeCheckpoint(plain(), made(),
                              {.quantization = quantization, .num_threads = 3, .on_progress = {}});
  }

  StatusOr<std::unique_ptr<ModelGroup>> Load(const fs::path& folder, int num_ranks,
                                             Quantization quantization) {
    testing::GroupOptions options;
    options.num_ranks = num_ranks;
    options.config = config_;
    const json written = json::parse(testing::ReadFile(folder / "config.json"));
    if (const auto stored = written.find("quantization_config"); stored != written.end()) {
      PHALANX_ASSIGN_OR_RETURN(options.config.stored,
                               ParseStoredIntegers(*stored, "config.json", kQuantizationUnit));
    }
    options.model_dir = folder;
    options.model.quantization = quantization;
    options.max_sequence_tokens = 128;
    return ModelGroup::Load(options);
  }

  std::vector<testing::Row> Logits(const fs::path& folder, int num_ranks,
                                   Quantization quantization) {
    auto group = Load(folder, num_ranks, quantization);
    EXPECT_TRUE(group.ok()) << group.status();
    if (!group.ok()) return {};
    auto rows = (*group)->Step({{0, 0, {5, 250, 17, 0, 99}, testing::Piece::Want::kAll}});
    EXPECT_TRUE(rows.ok()) << rows.status();
    return *rows;
  }

  // The folder's tensors, one of them changed.
  std::string LoadError(const std::function<void(RawTensors&)>& change) {
    auto file = SafetensorsFile::Open(made() / "model.safetensors");
    EXPECT_TRUE(file.ok()) << file.status();
    RawTensors tensors;
    for (const auto& [name, entry] : (*file)->entries()) {
      std::string data(static_cast<size_t>(entry.end - entry.begin), '\0');
      EXPECT_TRUE((*file)->Read(entry.begin, std::as_writable_bytes(std::span(data))).ok());
      tensors[name] = {entry.dtype, entry.shape, std::move(data)};
    }
    change(tensors);
    testing::WriteSafetensors(made() / "model.safetensors", tensors);
    return Load(made(), 1, Quantization::kNone).status().message();
  }

  TempDir folder_;
  Qwen2Config config_;
  RawTensors tensors_;
};

TEST_F(QuantizedFolderTest, ServesAsWhatIsRoundedWhileItIsRead) {
  for (const Quantization quantization : {Quantization::kInt8, Quantization::kInt4}) {
    const auto summary = Quantize(quantization);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_EQ(summary->num_quantized, 14);
    EXPECT_LT(summary->bytes_after, summary->bytes_before);
    for (const int num_ranks : {1, 2, 3, 5, 8}) {
      // The embedding lies there as floats and is rounded to 8 bits either way.
      EXPECT_EQ(Logits(made(), num_ranks, Quantization::kInt8),
                Logits(plain(), num_ranks, quantization))
          << Name(quantization) << ", " << num_ranks << " ranks";
    }
  }
  EXPECT_NE(Logits(made(), 1, Quantization::kNone), Logits(made(), 1, Quantization::kInt8));
}

// As large as the folder would be, for benchmarks.
TEST_F(QuantizedFolderTest, DummyWeightsAreIntegers) {
  ASSERT_TRUE(Quantize(Quantization::kInt4).ok());
  testing::GroupOptions options;
  options.config = config_;
  options.config.stored = {Form::kPacked, 4, 64};
  options.model.load_format = LoadFormat::kDummy;
  options.max_sequence_tokens = 128;
  auto dummy = ModelGroup::Load(options);
  ASSERT_TRUE(dummy.ok()) << dummy.status();
  auto group = Load(made(), 1, Quantization::kNone);
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ((*dummy)->rank(0).model->weight_bytes(), (*group)->rank(0).model->weight_bytes());
}

TEST_F(QuantizedFolderTest, KeepsTheOtherFilesAndFields) {
  testing::WriteFile(plain() / "pytorch_model.bin", "old");
  ASSERT_TRUE(Quantize(Quantization::kInt4).ok());
  EXPECT_EQ(testing::ReadFile(made() / "tokenizer.json"), "{}");
  EXPECT_FALSE(fs::exists(made() / "pytorch_model.bin"));
  const std::string config = testing::ReadFile(made() / "config.json");
  EXPECT_LT(config.find("zebra"), config.find("\"a\"")) << "in the order they had";
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path())) {
    EXPECT_THAT(entry.path().string(), ::testing::Not(HasSubstr("partial")));
  }
}

TEST_F(QuantizedFolderTest, ShardsStayShards) {
  const std::vector<testing::Row> whole = Logits(plain(), 2, Quantization::kInt4);
  fs::remove(plain() / "model.safetensors");
  testing::WriteSharded(plain(), tensors_, 3);
  ASSERT_TRUE(Quantize(Quantization::kInt4).ok());
  EXPECT_EQ(Logits(made(), 2, Quantization::kInt8), whole);
}

TEST_F(QuantizedFolderTest, RowsOfZerosHaveAScale) {
  RawTensor& down = tensors_.at(std::string(kDown));
  std::fill(down.data.begin(), down.data.end(), '\0');
  testing::WriteSafetensors(plain() / "model.safetensors", tensors_);
  ASSERT_TRUE(Quantize(Quantization::kInt4).ok());
  EXPECT_EQ(Logits(made(), 2, Quantization::kInt8), Logits(plain(), 2, Quantization::kInt4));
}

TEST_F(QuantizedFolderTest, WhatIsWrongInAFolderIsNamed) {
  const std::string scale = ScaleName(kDown);
  const auto expect = [&](const std::function<void(RawTensors&)>& change,
                          std::string_view expected) {
    ASSERT_TRUE(Quantize(Quantization::kInt4).ok());
    const std::string error = LoadError(change);
    EXPECT_THAT(error, HasSubstr(expected));
    EXPECT_THAT(error, HasSubstr("down_proj.weight"));
  };
  const auto set_scale = [&](RawTensors& tensors, uint16_t bits) {
    std::memcpy(tensors.at(scale).data.data() + 2, &bits, sizeof(bits));
  };
  expect([&](RawTensors& t) { t.erase(scale); },
         "is missing, expected BF16, F16 or F32 of shape [160, 9]");
  expect([&](RawTensors& t) { set_scale(t, 0); },
         "found 0 at [0, 1], expected finite scales above 0");
  expect([&](RawTensors& t) { set_scale(t, 0x7fc0); },
         "found nan at [0, 1], expected finite scales above 0");
  expect([&](RawTensors& t) { set_scale(t, 0xbf80); },
         "found -1 at [0, 1], expected finite scales above 0");
  expect(
      [&](RawTensors& t) {
        t.at(scale).shape = {9, 160};
      },
      "found BF16 of shape [9, 160], expected BF16, F16 or F32 of shape [160, 9]");
  expect([&](RawTensors& t) { t.erase(PackedName(kDown)); },
         "is missing, expected I32 of shape [160, 65]");
  expect(
      [&](RawTensors& t) {
        t.at(PackedName(kDown)).shape = {65, 160};
      },
      "found I32 of shape [65, 160], expected I32 of shape [160, 65]");
  expect([&](RawTensors& t) { t.at(ShapeName(kDown)).data[0] = 7; },
         "found [7, 517], expected [160, 517]");
  expect([&](RawTensors& t) { t[std::string(kDown) + "_zero_point"] = t.at(scale); },
         "is not part of a Qwen2 layer");
}

TEST_F(QuantizedFolderTest, WhatCannotBeMadeIsNamedAndLeavesNothing) {
  ASSERT_TRUE(Quantize(Quantization::kInt8).ok());
  const QuantizeOptions options{.quantization = Quantization::kInt8, .on_progress = {}};
  EXPECT_THAT(QuantizeCheckpoint(plain(), made(), options).status().message(),
              HasSubstr("is there already, allowed: a new or an empty folder"));
  EXPECT_THAT(QuantizeCheckpoint(made(), folder_.path() / "twice", options).status().message(),
              HasSubstr("quantization_config: is {"));
  testing::WriteFile(plain() / "config.json", R"({"model_type": "llama"})");
  EXPECT_THAT(Quantize(Quantization::kInt8).status().message(),
              HasSubstr("model_type: is llama, allowed: qwen2"));
  testing::WriteFile(plain() / "config.json", R"({"model_type": "qwen2"})");
  RawTensor& down = tensors_.at(std::string(kDown));
  down.data[1] = '\x7f';
  down.data[0] = '\xc0';
  testing::WriteSafetensors(plain() / "model.safetensors", tensors_);
  const Status refused = Quantize(Quantization::kInt8).status();
  EXPECT_THAT(refused.message(), HasSubstr("down_proj.weight\": found NaN or infinity in rows 0"));
  EXPECT_FALSE(fs::exists(made()));
  EXPECT_FALSE(fs::exists(folder_.path() / "twice"));
}

}  // namespace
}  // namespace phalanx
