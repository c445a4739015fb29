// Checkpoints in every form give the model that the dummy recipe gives, on any number of ranks, and
// each rank reads its own bytes only.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <mutex>

#include "model/safetensors.h"
#include "model/weight_table.h"
#include "tests/model/checkpoint_writer.h"
#include "tests/model/model_group.h"

namespace phalanx {
namespace {

using testing::DummyCheckpoint;
using ::testing::ElementsAre;
using testing::GroupOptions;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ModelGroup;
using testing::Piece;
using testing::RawTensor;
using testing::RawTensors;
using testing::Row;
using testing::TempDir;

constexpr uint64_t kSeed = 42;

// Uneven on purpose: from 4 ranks on some hold no head, from 3 on no FFN unit, and with 9 no row of
// the vocabulary.
Qwen2Config SmallConfig(DType dtype) {
  Qwen2Config config;
  config.hidden_size = 72;
  config.intermediate_size = 100;
  config.num_layers = 2;
  config.num_heads = 3;
  config.num_kv_heads = 1;
  config.head_dim = 10;
  config.vocab_size = 500;
  config.max_position_embeddings = 128;
  config.dtype = dtype;
  return config;
}

GroupOptions Options(const Qwen2Config& config, int num_ranks) {
  GroupOptions options;
  options.num_ranks = num_ranks;
  options.config = config;
  options.model.max_num_tokens = 16;
  options.model.max_num_logit_rows = 16;
  options.model.load_threads = 2;
  options.model.dummy_seed = kSeed;
  options.num_sequences = 1;
  options.max_sequence_tokens = 32;
  return options;
}

GroupOptions DummyOptions(const Qwen2Config& config, int num_ranks) {
  GroupOptions options = Options(config, num_ranks);
  options.model.load_format = LoadFormat::kDummy;
  return options;
}

GroupOptions FileOptions(const Qwen2Config& config, int num_ranks, const TempDir& folder) {
  GroupOptions options = Options(config, num_ranks);
  options.model_dir = folder.path();
  return options;
}

std::vector<Row> Logits(const GroupOptions& options) {
  const auto group = ModelGroup::Load(options);
  EXPECT_TRUE(group.ok()) << group.status();
  if (!group.ok()) return {};
  const auto rows = (*group)->Step({{0, 0, {3, 77, 499, 250, 0, 3}, Piece::Want::kAll}});
  EXPECT_TRUE(rows.ok()) << rows.status();
  return rows.ok() ? *rows : std::vector<Row>{};
}

// NaN, where no rank wrote a column, is never near.
void ExpectNear(const std::vector<Row>& actual, const std::vector<Row>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t r = 0; r < actual.size(); ++r) {
    for (size_t c = 0; c < actual[r].size(); ++c) {
      ASSERT_LE(std::abs(actual[r][c] - expected[r][c]), 2e-5F) << "row " << r << " column " << c;
    }
  }
}

class LoadingTest : public ::testing::TestWithParam<DType> {};

TEST_P(LoadingTest, AnyNumberOfRanksGivesTheSameLogits) {
  for (const bool tied : {true, false}) {
    Qwen2Config config = SmallConfig(GetParam());
    config.tie_word_embeddings = tied;
    const std::vector<Row> expected = Logits(DummyOptions(config, 1));
    for (int n = 2; n <= 9; ++n) {
      SCOPED_TRACE(fmt::format("{} ranks, tied {}", n, tied));
      ExpectNear(Logits(DummyOptions(config, n)), expected);
    }
  }
}

TEST_P(LoadingTest, FilesGiveTheBitsOfTheDummyRecipe) {
  const Qwen2Config config = SmallConfig(GetParam());
  const RawTensors tensors = DummyCheckpoint(config, kSeed);
  const TempDir single;
  const TempDir sharded;
  testing::WriteSafetensors(single.path() / "model.safetensors", tensors);
  testing::WriteSharded(sharded.path(), tensors, 3);
  for (const int n : {1, 2, 5}) {
    const std::vector<Row> expected = Logits(DummyOptions(config, n));
    EXPECT_EQ(Logits(FileOptions(config, n, single)), expected) << n;
    EXPECT_EQ(Logits(FileOptions(config, n, sharded)), expected) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, LoadingTest,
                         ::testing::Values(DType::kBF16, DType::kF16, DType::kF32),
                         [](const auto& info) { return std::string(Name(info.param)); });

std::string LoadError(const Qwen2Config& config, const TempDir& folder, int num_ranks = 1) {
  return ModelGroup::Load(FileOptions(config, num_ranks, folder)).status().message();
}

TEST(LoadingErrorsTest, NamesFileTensorExpectedAndFound) {
  const Qwen2Config config = SmallConfig(DType::kBF16);
  const RawTensors good = DummyCheckpoint(config, kSeed);
  const TempDir folder;
  const auto path = folder.path() / "model.safetensors";
  const auto expect = [&](const RawTensors& tensors, const char* message) {
    testing::WriteSafetensors(path, tensors);
    EXPECT_THAT(LoadError(config, folder), HasSubstr(message));
  };
  RawTensors bad = good;
  bad.erase("model.layers.1.self_attn.k_proj.bias");
  expect(bad,
         "tensor \"model.layers.1.self_attn.k_proj.bias\" is missing, expected BF16, F16 or F32 "
         "of shape [10]");
  bad = good;
  bad["model.norm.weight"].shape = {8, 9};
  expect(bad,
         "tensor \"model.norm.weight\": found BF16 of shape [8, 9], expected BF16, F16 or F32 "
         "of shape [72]");
  bad = good;
  bad["lm_head.weight"].dtype = "I16";
  expect(bad, "tensor \"lm_head.weight\": found I16 of shape [500, 72], expected BF16");
  bad = good;
  bad.erase("lm_head.weight");
  expect(bad, "tensor \"lm_head.weight\" is missing");
  for (const auto& [name, where] : {std::pair{"model.layers.0.mlp.down_proj.weight", "[0, 3]"},
                                    std::pair{"model.layers.0.input_layernorm.weight", "[3, 0]"}}) {
    for (const uint16_t bits : {uint16_t{0x7fc0}, uint16_t{0xff80}}) {  // NaN, -infinity
      bad = good;
      std::memcpy(bad[name].data.data() + 3 * sizeof(bits), &bits, sizeof(bits));
      testing::WriteSafetensors(path, bad);
      EXPECT_THAT(LoadError(config, folder),
                  HasSubstr(fmt::format("tensor \"{}\": found {} at {}, expected finite values",
                                        name, BF16ToFloat(bits), where)));
    }
  }
}

TEST(LoadingErrorsTest, RefusesLayerTensorsThatTheConfigDoesNotHave) {
  const Qwen2Config config = SmallConfig(DType::kBF16);
  Qwen2Config deeper = config;
  deeper.num_layers += 1;
  const TempDir folder;
  const auto path = folder.path() / "model.safetensors";
  testing::WriteSafetensors(path, DummyCheckpoint(deeper, kSeed));
  EXPECT_THAT(
      LoadError(config, folder, 2),
      HasSubstr(fmt::format("tensor \"model.layers.{0}.input_layernorm.weight\" belongs to layer "
                            "{0}, allowed: layers 0 to {1}, because config.json says "
                            "num_hidden_layers is {0}",
                            config.num_layers, config.num_layers - 1)));
  RawTensors tensors = DummyCheckpoint(config, kSeed);
  tensors["model.layers.0.self_attn.q_norm.weight"] = tensors["model.norm.weight"];
  testing::WriteSafetensors(path, tensors);
  EXPECT_THAT(LoadError(config, folder),
              HasSubstr("\"model.layers.0.self_attn.q_norm.weight\" is not part of a Qwen2 layer"));
}

TEST(LoadingTest, WarnsOnceOfTensorsThatAreNotUsed) {
  const Qwen2Config config = SmallConfig(DType::kBF16);
  RawTensors tensors = DummyCheckpoint(config, kSeed);
  const auto warnings = [&] {
    const TempDir folder;
    testing::WriteSafetensors(folder.path() / "model.safetensors", tensors);
    std::vector<std::string> heard;
    GroupOptions options = FileOptions(config, 1, folder);
    options.model.on_warning = [&](std::string_view text) { heard.emplace_back(text); };
    EXPECT_TRUE(ModelGroup::Load(options).ok());
    return heard;
  };
  const RawTensor extra = {"F32", {1}, "abcd"};
  tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = extra;
  tensors["model.layers.7.self_attn.rotary_emb.inv_freq"] = extra;
  EXPECT_THAT(warnings(), IsEmpty()) << "rotary buffers follow from the config";
  for (const char* name : {"score.weight", "a", "b", "c", "d"}) tensors[name] = extra;
  EXPECT_THAT(warnings(),
              ElementsAre("5 tensors of the checkpoint not used: \"a\", \"b\", \"c\", \"d\" and "
                          "1 more"));
}

TEST(LoadingTest, RefusesAContextThatThePositionsDoNotReach) {
  GroupOptions options = DummyOptions(SmallConfig(DType::kBF16), 1);
  options.model.max_model_len = 129;
  const Status status = ModelGroup::Load(options).status();
  EXPECT_EQ(status.field(), "max_model_len");
  EXPECT_THAT(status.message(), HasSubstr("is 129, allowed: 1 to 128"));
}

// As transformers 5: tied only where the checkpoint does not contradict the config.
TEST(LoadingTest, DecidesAboutTyingByWhatIsThere) {
  Qwen2Config config = SmallConfig(DType::kBF16);
  const RawTensors untied = DummyCheckpoint(config, kSeed);
  const std::vector<Row> untied_logits = Logits(DummyOptions(config, 2));
  config.tie_word_embeddings = true;
  const std::vector<Row> tied_logits = Logits(DummyOptions(config, 2));
  const TempDir folder;
  const auto path = folder.path() / "model.safetensors";
  testing::WriteSafetensors(path, untied);
  EXPECT_EQ(Logits(FileOptions(config, 2, folder)), untied_logits) << "both, different";
  RawTensors tensors = untied;
  tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"];
  testing::WriteSafetensors(path, tensors);
  GroupOptions both = FileOptions(config, 2, folder);
  both.model.on_warning = [](std::string_view text) { ADD_FAILURE() << text; };
  EXPECT_EQ(Logits(both), tied_logits) << "both, equal";
  tensors.erase("model.embed_tokens.weight");
  testing::WriteSafetensors(path, tensors);
  EXPECT_EQ(Logits(FileOptions(config, 2, folder)), tied_logits) << "only the head";
}

TEST(LoadingTest, KeepsTensorsOfDifferentTypesInOneSlot) {
  const Qwen2Config config = SmallConfig(DType::kF32);
  RawTensors tensors = DummyCheckpoint(config, kSeed);
  for (auto& [name, tensor] : tensors) {
    if (name.find("k_proj") == std::string::npos && name.find("up_proj") == std::string::npos)
      continue;
    std::string narrow;  // every bf16 is a float32: cut the values, so that both forms are exact
    for (size_t i = 0; i < tensor.data.size(); i += 4) narrow += tensor.data.substr(i + 2, 2);
    for (size_t i = 0; i < tensor.data.size(); i += 4) tensor.data.replace(i, 2, 2, '\0');
    tensors["copy." + name] = {"BF16", tensor.shape, narrow};
  }
  const TempDir folder;
  const auto path = folder.path() / "model.safetensors";
  testing::WriteSafetensors(path, tensors);
  const std::vector<Row> expected = Logits(FileOptions(config, 3, folder));
  for (auto& [name, tensor] : tensors) {
    if (tensors.contains("copy." + name)) tensor = tensors["copy." + name];
  }
  testing::WriteSafetensors(path, tensors);
  EXPECT_EQ(Logits(FileOptions(config, 3, folder)), expected);
}

TEST(LoadingTest, ReportsProgress) {
  GroupOptions options = DummyOptions(SmallConfig(DType::kBF16), 1);
  std::mutex mutex;
  int64_t last = 0;
  int64_t total = -1;
  options.model.on_progress = [&](int64_t done, int64_t all) {
    const std::lock_guard lock(mutex);
    EXPECT_GT(done, last);
    last = done;
    total = all;
  };
  ASSERT_TRUE(ModelGroup::Load(options).ok());
  EXPECT_EQ(last, total);
}

// Bytes that this process has asked read calls for.
int64_t BytesRead() {
  std::ifstream io("/proc/self/io");
  std::string key;
  int64_t value = 0;
  io >> key >> value;
  return key == "rchar:" ? value : -1;
}

// A member of a larger group that is alone in its process: loading talks to nobody.
class LonelyRank : public Communicator {
 public:
  LonelyRank(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view name() const override { return "lonely"; }
  Status AllReduceSum(const TensorView&) override { return Refuse(); }
  Status AllGather(std::span<const std::byte>, std::span<std::byte>) override { return Refuse(); }
  Status Broadcast(std::string&) override { return Refuse(); }
  Status Barrier() override { return Refuse(); }
  void Abort(const Status&) override {}
  Stats stats() const override { return {}; }

 private:
  static Status Refuse() { return UnavailableError("this rank has no peers"); }
  int rank_;
  int size_;
};

TEST(LoadingTest, ARankReadsItsShardAndNoMore) {
  Qwen2Config config = SmallConfig(DType::kBF16);
  config.hidden_size = 512;
  config.intermediate_size = 1500;
  config.num_heads = 14;
  config.num_kv_heads = 2;
  config.head_dim = 64;
  config.vocab_size = 5003;
  const TempDir folder;
  testing::WriteSharded(folder.path(), DummyCheckpoint(config, kSeed), 2);
  const auto index_bytes = static_cast<int64_t>(
      std::filesystem::file_size(folder.path() / "model.safetensors.index.json"));
  if (BytesRead() < 0) GTEST_SKIP() << "/proc/self/io cannot be read here";
  double worst = 0.0;
  for (const int size : {1, 2, 3, 8}) {
    for (int rank = 0; rank < size; ++rank) {
      LonelyRank communicator(rank, size);
      const ShardSpec shard = MakeShardSpec(
          {config.num_heads, config.num_kv_heads, config.intermediate_size, config.vocab_size},
          rank, size);
      int64_t shard_bytes = 0;
      for (const WeightRow& row : BuildWeightTable(config, shard, {})) {
        shard_bytes += row.local_rows().size() * row.local_cols().size() * 2;
      }
      const int64_t header_bytes = Checkpoint::Open(folder.path())->header_bytes() + index_bytes;
      auto backend = CreateBackend({.num_threads = 1});
      ASSERT_TRUE(backend.ok());
      ModelOptions options;
      options.max_num_tokens = 1;
      options.max_num_logit_rows = 1;
      const int64_t before = BytesRead();
      ASSERT_TRUE(Qwen2Model::Load(folder.path(), config, options, **backend, communicator).ok());
      const double ratio = static_cast<double>(BytesRead() - before) /
                           static_cast<double>(shard_bytes + header_bytes);
      EXPECT_LE(ratio, 1.05) << "rank " << rank << " of " << size;
      worst = std::max(worst, ratio);
    }
  }
  RecordProperty("largest_ratio", std::to_string(worst));
}

}  // namespace
}  // namespace phalanx
