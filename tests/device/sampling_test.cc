// Sampling's kernels on the device under test against the CPU's: the same bits, but for sums of
// exponentials.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/device/device_under_test.h"
#include "tests/testing/inputs.h"

namespace phalanx {
namespace {

using testing::Generator;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kFirstId = 151008;  // as a later shard begins

std::unique_ptr<Backend> Create(const std::string& device, const StepLimits& limits) {
  auto backend = std::move(CreateBackend({.device = device, .num_threads = 1})).value();
  const Status status = backend->PrepareSteps(limits);
  EXPECT_TRUE(status.ok()) << status;
  return backend;
}

// Logits as a backend keeps them.
class Logits {
 public:
  Logits(Backend& backend, const std::vector<float>& values, int64_t rows)
      : backend_(backend),
        buffer_(std::move(backend.Allocate(values.size() * sizeof(float), "logits")).value()),
        view_(MakeTensor(buffer_->data(), DType::kF32, rows,
                         static_cast<int64_t>(values.size()) / rows)) {
    backend.CopyToDevice(buffer_->data(), values.data(), values.size() * sizeof(float));
  }

  const TensorView& view() const { return view_; }
  std::vector<uint32_t> Bits() const {
    std::vector<uint32_t> bits(static_cast<size_t>(view_.rows * view_.cols));
    backend_.CopyToHost(bits.data(), buffer_->data(), bits.size() * sizeof(uint32_t));
    return bits;
  }

 private:
  Backend& backend_;
  std::unique_ptr<Buffer> buffer_;
  TensorView view_;
};

std::vector<CandidateResult> Select(Backend& backend, const std::vector<float>& values,
                                    int64_t rows, const std::vector<CandidateTask>& tasks) {
  const Logits logits(backend, values, rows);
  std::vector<CandidateResult> results(tasks.size());
  backend.SelectCandidates(logits.view(), kFirstId, tasks, results);
  const Status status = backend.Finish();
  EXPECT_TRUE(status.ok()) << status;
  return results;
}

void ExpectSame(const Candidate& actual, const Candidate& expected) {
  EXPECT_EQ(actual.id, expected.id);
  EXPECT_EQ(std::bit_cast<uint32_t>(actual.logit), std::bit_cast<uint32_t>(expected.logit));
}

void ExpectSame(const CandidateResult& actual, const CandidateResult& expected) {
  EXPECT_EQ(actual.max, expected.max);
  EXPECT_EQ(actual.num_nan, expected.num_nan);
  // Chunks are summed in float32, each exponential within a few units in the last place of 2^-22.
  EXPECT_NEAR(actual.sum_exp, expected.sum_exp, 1e-5 * expected.sum_exp);
  EXPECT_EQ(actual.gumbel_score, expected.gumbel_score);
  EXPECT_EQ(actual.target_logit, expected.target_logit);
  ExpectSame(actual.gumbel, expected.gumbel);
  EXPECT_EQ(actual.gumbel_raw, expected.gumbel_raw);
  EXPECT_EQ(actual.raw, expected.raw);
  ASSERT_EQ(actual.candidates.size(), expected.candidates.size());
  for (size_t i = 0; i < expected.candidates.size(); ++i) {
    SCOPED_TRACE(::testing::Message() << "candidate " << i);
    ExpectSame(actual.candidates[i], expected.candidates[i]);
  }
}

// On a device that is prepared for `prepared_rows` rows: beyond those, selections share memory.
void ExpectSameOnBoth(const std::vector<float>& values, int64_t rows,
                      const std::vector<CandidateTask>& tasks, int64_t prepared_rows) {
  const int64_t cols = static_cast<int64_t>(values.size()) / rows;
  const StepLimits limits = testing::SamplingLimits(prepared_rows, cols);
  const auto expected = Select(*Create("cpu", limits), values, rows, tasks);
  const auto actual = Select(*Create(testing::Device().name, limits), values, rows, tasks);
  for (size_t i = 0; i < tasks.size(); ++i) {
    SCOPED_TRACE(::testing::Message() << cols << " columns, task " << i << ", k = "
                                      << tasks[i].top_k << ", room for " << prepared_rows);
    ExpectSame(actual[i], expected[i]);
  }
}
void ExpectSameOnBoth(const std::vector<float>& values, int64_t rows,
                      const std::vector<CandidateTask>& tasks) {
  ExpectSameOnBoth(values, rows, tasks, static_cast<int64_t>(tasks.size()));
}

// Ties, entries that must not be chosen, both zeros.
std::vector<float> MixedLogits(int64_t count, Generator& generator) {
  std::vector<float> logits = testing::RandomFloats(count, generator, 4.0F);
  for (size_t i = 0; i < logits.size(); i += 3) logits[i] = std::round(logits[i]);
  for (size_t i = 0; i < logits.size(); i += 17) logits[i] = -kInfinity;
  return logits;
}

class DeviceCandidatesTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(DeviceCandidatesTest, GiveWhatTheCpuGives) {
  constexpr int64_t kRows = 2;
  const int64_t cols = GetParam();
  Generator generator(61);
  const std::vector<float> logits = MixedLogits(kRows * cols, generator);
  std::vector<CandidateTask> tasks;
  for (const int32_t k : {0, 1, 20, 1024, static_cast<int32_t>(cols)}) {
    for (int64_t row = 0; row < kRows; ++row) {
      tasks.push_back(
          {.row = row,
           .top_k = k,
           .inv_temperature = row == 1 ? 0.5F : 1.7F,
           .gumbel = k == 1 ? CandidateTask::Gumbel::kNone : CandidateTask::Gumbel::kWanted,
           .seed = generator(),
           .choice = static_cast<uint32_t>(row),
           .index = static_cast<uint32_t>(k) + 5,
           .min_logit = k == 20 ? 1.5F : std::numeric_limits<float>::lowest(),
           .target = static_cast<int32_t>(kFirstId + cols - 1 + row)});
    }
  }
  ExpectSameOnBoth(logits, kRows, tasks);
  // Ten tasks that together ask for more than a device with room for one row keeps at once.
  if (cols == 5000) ExpectSameOnBoth(logits, kRows, tasks, 1);
}

INSTANTIATE_TEST_SUITE_P(Columns, DeviceCandidatesTest,
                         ::testing::Values(1, 2, 31, 32, 33, 255, 1023, 1024, 1025, 2048, 5000,
                                           20011));

TEST(DeviceCandidatesEdgesTest, BadLogitsAreCountedAndNotChosen) {
  std::vector<float> logits(1100, -1.0F);
  logits[0] = testing::kNaN;
  logits[50] = kInfinity;
  logits[1099] = -testing::kNaN;
  logits[7] = -kInfinity;
  logits[1070] = 2.0F;
  ExpectSameOnBoth(logits, 1,
                   {{.top_k = 1100, .gumbel = CandidateTask::Gumbel::kWanted, .seed = 5}});
}

TEST(DeviceCandidatesEdgesTest, NothingToChooseFrom) {
  const CandidateTask task{.top_k = 3, .gumbel = CandidateTask::Gumbel::kWanted};
  for (const size_t cols : {0, 40, 2000}) {
    ExpectSameOnBoth(std::vector<float>(cols, -kInfinity), 1, {task});
  }
  ExpectSameOnBoth(std::vector<float>(2000, testing::kNaN), 1, {task});
}

// More ties than a block sorts: the lowest ids are selected.
TEST(DeviceCandidatesEdgesTest, EqualLogitsGiveTheLowestIds) {
  constexpr size_t kCols = 5048;  // a block sorts 2048
  std::vector<float> logits(kCols, 0.25F);
  logits[4000] = 0.5F;
  logits[4001] = -0.0F;
  for (size_t i = 0; i < logits.size(); i += 2) logits[i] = -1.0F;
  ExpectSameOnBoth(logits, 1, {{.top_k = 6}, {.top_k = 1}, {.top_k = 1024}, {.top_k = 3000}});
  ExpectSameOnBoth(
      std::vector<float>(4000, 0.0F), 1,
      {{.top_k = 1, .gumbel = CandidateTask::Gumbel::kWanted, .seed = 2},
       {.top_k = 40, .gumbel = CandidateTask::Gumbel::kWanted, .seed = 3, .min_logit = 0.0F}});
  // So large that no variate changes them: all scores are equal.
  ExpectSameOnBoth(std::vector<float>(3000, 1e30F), 1,
                   {{.gumbel = CandidateTask::Gumbel::kWanted, .seed = 4}});
}

TEST(DeviceCandidatesEdgesTest, ExtremeLogitsAndTemperatures) {
  std::vector<float> logits = {-1e30F, 1e30F, 3e38F, -3e38F, 1e-40F, -1e-40F, 0.0F, -0.0F};
  std::vector<CandidateTask> tasks;
  for (const float inv_temperature : {0.0F, 1e-3F, 1.0F, 1e5F}) {
    tasks.push_back({.top_k = 8,
                     .inv_temperature = inv_temperature,
                     .gumbel = CandidateTask::Gumbel::kWanted,
                     .seed = 9});
  }
  ExpectSameOnBoth(logits, 1, tasks);
}

// Threads of the merging block take several summaries each.
TEST(DeviceCandidatesEdgesTest, MoreChunksThanThreads) {
  constexpr int64_t kCols = 530000;
  Generator generator(63);
  std::vector<float> logits = testing::RandomFloats(kCols, generator, 2.0F);
  for (const size_t i : {0, 1000, 525000, 529999}) logits[i] = testing::kNaN;
  ExpectSameOnBoth(logits, 1, {{.top_k = 5, .gumbel = CandidateTask::Gumbel::kWanted, .seed = 10}});
}

// Samples of one row: variates of every size meet every logit.
TEST(DeviceCandidatesEdgesTest, ManySeedsChooseAsTheCpu) {
  Generator generator(62);
  const std::vector<float> logits = testing::RandomFloats(300, generator, 1.0F);
  std::vector<CandidateTask> tasks;
  for (uint32_t i = 0; i < 200; ++i) {
    tasks.push_back({.gumbel = CandidateTask::Gumbel::kWanted, .seed = generator(), .index = i});
  }
  ExpectSameOnBoth(logits, 1, tasks);
}

// ------------------------------------------------------------------------------------------------

struct Adjusted {
  std::vector<uint32_t> logits;
  std::vector<uint32_t> kept;
};

// Two steps on fresh logits; between them tokens change and come up.
std::vector<Adjusted> AdjustTwice(Backend& backend, int64_t first_id, int64_t cols, uint32_t seed) {
  constexpr int64_t kRows = 3;
  const int64_t vocab = first_id + cols + 70;
  Generator generator(seed);
  const auto id = [&] { return static_cast<int32_t>(generator() % static_cast<uint64_t>(vocab)); };
  std::vector<std::vector<TokenAdjustment>> tokens(kRows);
  std::vector<std::vector<int32_t>> changed(kRows);
  const auto add = [&](size_t row, int32_t token) {
    for (const TokenAdjustment& other : tokens[row]) {
      if (other.id == token) return;
    }
    changed[row].push_back(static_cast<int32_t>(tokens[row].size()));
    tokens[row].push_back({.id = token,
                           .bias = static_cast<float>(token % 7) - 3.1F,
                           .count = token % 4,
                           .has_bias = static_cast<TokenAdjustment::Bias>(token % 2),
                           .seen = static_cast<TokenAdjustment::Seen>(token % 3 != 0)});
  };
  std::vector<uint32_t> mask(static_cast<size_t>((vocab + 31) / 32));
  std::vector<Adjusted> steps;
  for (int step = 0; step < 3; ++step) {
    std::vector<float> values = MixedLogits(kRows * cols, generator);
    if (!values.empty()) values.front() = testing::kNaN;
    const Logits logits(backend, values, kRows);
    const Logits kept(backend, std::vector<float>(static_cast<size_t>(cols)), 1);
    for (size_t row = 0; row < kRows; ++row) {
      // The first row's many tokens need several copies where little memory is set aside.
      for (size_t i = 0; i < (row == 0 ? 40 * static_cast<size_t>(step * step) + 5 : 9); ++i) {
        add(row, id());
      }
      if (step > 0 && row < 2) {
        ++tokens[row][2].count;
        if (std::ranges::find(changed[row], 2) == changed[row].end()) changed[row].push_back(2);
      }
    }
    for (uint32_t& word : mask) {
      const auto bits = static_cast<uint32_t>(generator());
      word = bits % 3 == 0 ? 0 : bits % 3 == 1 ? ~uint32_t{0} : bits;
    }
    const std::vector<int32_t> bans = {id(), static_cast<int32_t>(vocab - 1)};
    const RowAdjustment rows[] = {{.row = 2,
                                   .slot = 5,
                                   .tokens = tokens[0],
                                   .changed = changed[0],
                                   .repetition_penalty = 1.3F,
                                   .frequency_penalty = 0.7F,
                                   .presence_penalty = step == 2 ? 1e38F : -0.4F,
                                   .bans = bans,
                                   .kept = static_cast<float*>(kept.view().data)},
                                  {.row = 0,
                                   .slot = 0,
                                   .tokens = tokens[1],
                                   .changed = changed[1],
                                   .repetition_penalty = 1e-30F,
                                   .mask = mask,
                                   .bans = bans}};
    // The second row's slot changes, but nothing samples it in the second step.
    const size_t num_rows = step == 1 ? 1 : 2;
    backend.AdjustLogits(logits.view(), first_id, std::span(rows).first(num_rows));
    const Status status = backend.Finish();
    EXPECT_TRUE(status.ok()) << status;
    for (size_t row = 0; row < num_rows; ++row) changed[row].clear();
    steps.push_back({logits.Bits(), kept.Bits()});
  }
  return steps;
}

TEST(DeviceAdjustLogitsTest, GivesTheBitsOfTheCpu) {
  uint32_t seed = 70;
  for (const int64_t cols : {0, 1, 33, 1000, 1025}) {
    for (const int64_t first_id : {0, 64, 75}) {
      SCOPED_TRACE(::testing::Message() << cols << " columns from " << first_id);
      ++seed;
      const auto expected =
          AdjustTwice(*Create("cpu", testing::SamplingLimits(6, cols)), first_id, cols, seed);
      for (const int64_t prepared_rows : {0, 64}) {
        const StepLimits limits{.max_num_seqs = 6,
                                .max_num_logit_rows = prepared_rows,
                                .num_logit_cols = cols,
                                .max_blocks_per_seq = 4};
        const auto actual =
            AdjustTwice(*Create(testing::Device().name, limits), first_id, cols, seed);
        for (size_t step = 0; step < expected.size(); ++step) {
          EXPECT_EQ(actual[step].logits, expected[step].logits) << "step " << step;
          EXPECT_EQ(actual[step].kept, expected[step].kept) << "step " << step;
        }
      }
    }
  }
}

}  // namespace
}  // namespace phalanx
