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
      {"/transform_config", json{{"R1", 1}}, "transform_config: is {\"R1\":1}, allowed: none"},
      {"/sparsity_config", json{{"format", "sparse-24"}}, "sparsity_config: is {"},
      {"/config_groups/group_0/output_activations", json{{"num_bits", 8}},
       "output_activations: is"},
      {"/config_groups/group_0/input_activations", json{{"num_bits", 4}}, "allowed: null, or dyn"},
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
    return QuantizeCheckpoint(
        plain(), made(),
        {.quantization = quantization, .num_threads = 3, .on_progress = {}, .should_stop = {}});
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

  // A bf16 matrix as integers, and as the floats that these stand for.
  static void Store(const std::string& name, const RawTensor& tensor, const StoredIntegers& stored,
                    DType scale_dtype, RawTensors& integers, RawTensors& floats) {
    const auto rows = static_cast<size_t>(tensor.shape[0]);
    const auto cols = static_cast<size_t>(tensor.shape[1]);
    const auto groups = static_cast<size_t>(stored.NumGroups(tensor.shape[1]));
    const auto row_bytes = static_cast<size_t>(stored.RowBytes(tensor.shape[1]));
    const auto* bits = reinterpret_cast<const uint16_t*>(tensor.data.data());
    const size_t size = stored.group_size == 0 ? cols : static_cast<size_t>(stored.group_size);
    const bool is_packed = stored.form == Form::kPacked;
    std::string packed(rows * row_bytes, '\0');
    std::string scales(rows * groups * SizeInBytes(scale_dtype), '\0');
    std::vector<float> stands_for(rows * cols);
    for (size_t r = 0; r < rows; ++r) {
      std::vector<float> row(cols);
      for (size_t c = 0; c < cols; ++c) row[c] = BF16ToFloat(bits[r * cols + c]);
      std::vector<int8_t> values(cols);
      std::vector<float> row_scales(groups);
      QuantizeRow(row, stored.bits, stored.group_size, values, row_scales);
      if (stored.bits == 8) values[r % cols] = -128;  // which others write
      PackIntegers(stored, values,
                   std::as_writable_bytes(std::span(packed)).subspan(r * row_bytes, row_bytes));
      for (size_t g = 0; g < groups; ++g) {
        char* to = scales.data() + (r * groups + g) * SizeInBytes(scale_dtype);
        if (scale_dtype == DType::kF32) {
          std::memcpy(to, &row_scales[g], sizeof(float));
        } else {
          const uint16_t half =
              scale_dtype == DType::kBF16 ? FloatToBF16(row_scales[g]) : FloatToF16(row_scales[g]);
          row_scales[g] = scale_dtype == DType::kBF16 ? BF16ToFloat(half) : F16ToFloat(half);
          std::memcpy(to, &half, sizeof(half));
        }
      }
      for (size_t c = 0; c < cols; ++c) {
        stands_for[r * cols + c] = static_cast<float>(values[c]) * row_scales[c / size];
      }
    }
    integers.erase(name);
    integers[is_packed ? PackedName(name) : name] = {
        is_packed ? "I32" : "I8",
        {tensor.shape[0], is_packed ? static_cast<int64_t>(row_bytes) / 4 : tensor.shape[1]},
        packed};
    integers[ScaleName(name)] = {
        std::string(Name(scale_dtype)), {tensor.shape[0], static_cast<int64_t>(groups)}, scales};
    floats[name] = {"F32", tensor.shape,
                    std::string(reinterpret_cast<const char*>(stands_for.data()),
                                stands_for.size() * sizeof(float))};
  }

  static double LargestDifference(const std::vector<testing::Row>& a,
                                  const std::vector<testing::Row>& b) {
    double largest = a.size() == b.size() ? 0 : INFINITY;
    for (size_t r = 0; r < std::min(a.size(), b.size()); ++r) {
      for (size_t i = 0; i < a[r].size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(a[r][i]) - b[r][i]));
      }
    }
    return largest;
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

// Forms that others write: groups of other sizes or none, eight bits packed, scales of any dtype.
TEST_F(QuantizedFolderTest, EveryFormIsTheModelThatItsIntegersStandFor) {
  struct Case {
    StoredIntegers stored;
    DType scale_dtype;
  };
  for (const auto& [stored, scale_dtype] :
       {Case{{Form::kPacked, 8, 0}, DType::kF32}, Case{{Form::kPacked, 8, 128}, DType::kF16},
        Case{{Form::kInts, 8, 64}, DType::kBF16}, Case{{Form::kPacked, 4, 0}, DType::kF32},
        Case{{Form::kPacked, 4, 128}, DType::kBF16}, Case{{Form::kPacked, 4, 1024}, DType::kF16}}) {
    SCOPED_TRACE(::testing::Message() << stored.bits << " bits, groups of " << stored.group_size);
    RawTensors integers = tensors_;
    RawTensors floats = tensors_;
    for (const auto& [name, tensor] : tensors_) {
      if (tensor.shape.size() != 2 || !name.starts_with("model.layers.")) continue;
      Store(name, tensor, stored, scale_dtype, integers, floats);
    }
    fs::remove_all(made());
    fs::create_directory(made());
    const json config = {{"quantization_config", DescribeStoredIntegers(stored)}};
    testing::WriteFile(made() / "config.json", config.dump());
    testing::WriteSharded(made(), integers, 3);
    const fs::path reference = folder_.path() / "floats";
    fs::remove_all(reference);
    fs::create_directory(reference);
    testing::WriteFile(reference / "config.json", "{}");
    testing::WriteSafetensors(reference / "model.safetensors", floats);
    const std::vector<testing::Row> expected = Logits(reference, 1, Quantization::kNone);
    for (const int num_ranks : {1, 2, 3, 5, 8}) {
      EXPECT_LT(LargestDifference(Logits(made(), num_ranks, Quantization::kNone), expected), 1e-4)
          << num_ranks << " ranks";
    }
    EXPECT_GT(LargestDifference(Logits(plain(), 1, Quantization::kNone), expected), 1e-3);
  }
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
         "is of quantized weights, allowed: those of the form that config.json");
  expect([&](RawTensors& t) { t[std::string(kDown)] = t.at(scale); },
         "is not part of a Qwen2 layer");
}

TEST_F(QuantizedFolderTest, WhatCannotBeMadeIsNamedAndLeavesNothing) {
  ASSERT_TRUE(Quantize(Quantization::kInt8).ok());
  const QuantizeOptions options{
      .quantization = Quantization::kInt8, .on_progress = {}, .should_stop = {}};
  EXPECT_THAT(QuantizeCheckpoint(plain(), made(), options).status().message(),
              HasSubstr("is there already, allowed: a new or an empty folder"));
  EXPECT_THAT(QuantizeCheckpoint(plain(), "", options).status().message(),
              HasSubstr("output: is , allowed: a new or an empty folder"));
  testing::WriteFile(folder_.path() / "file", "");
  EXPECT_THAT(QuantizeCheckpoint(plain(), folder_.path() / "file", options).status().message(),
              HasSubstr("is there already"));
  fs::create_directory(folder_.path() / "empty");
  EXPECT_TRUE(QuantizeCheckpoint(plain(), folder_.path() / "empty/", options).ok());
  EXPECT_TRUE(fs::exists(folder_.path() / "empty/model.safetensors"));
  int asked = 0;
  QuantizeOptions stopped = options;
  stopped.should_stop = [&asked] { return ++asked > 3; };
  EXPECT_EQ(QuantizeCheckpoint(plain(), folder_.path() / "stopped", stopped).status().code(),
            StatusCode::kCancelled);
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
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path())) {
    EXPECT_THAT(entry.path().string(), ::testing::Not(HasSubstr("partial")));
  }
}

}  // namespace
}  // namespace phalanx
