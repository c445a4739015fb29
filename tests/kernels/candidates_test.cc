// SelectCandidates and its random numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "kernels/backend_factory.h"
#include "kernels/gumbel.h"
#include "tests/testing/inputs.h"

namespace phalanx {
namespace {

using testing::Generator;
using testing::ViewOf;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Known answers of Philox4x32-10: the test vectors of Random123, the authors' library.
TEST(PhiloxTest, GivesThePublishedWords) { EXPECT_EQ(PhiloxFirstWord(0, 0, 0, 0), 0x6627e8d5u); }

TEST(GumbelTest, IsMinusLogMinusLogOfTheWord) {
  Generator generator(20);
  std::vector<uint32_t> words = {0,          1,          2,          0x3fffffff, 0x40000000,
                                 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
  for (int i = 0; i < 200000; ++i) words.push_back(static_cast<uint32_t>(generator()));
  for (int i = 0; i < 32; ++i) words.push_back(uint32_t{1} << i);
  for (const uint32_t w : words) {
    const long double v = (static_cast<long double>(w) + 0.5L) / 4294967296.0L;
    const long double e = -std::log1p(-v);
    const auto expected = static_cast<double>(-std::log(e));
    // E is right to a few roundings, which the logarithm turns into an absolute error; where g is
    // large its own rounding adds.
    EXPECT_NEAR(GumbelOfWord(w), expected, 8e-7 + 4e-7 * std::abs(expected)) << w;
    EXPECT_LT(GumbelOfWord(w), kMaxGumbel);
  }
}

struct Reference {
  float max = -kInfinity;
  double sum_exp = 0.0;
  int64_t num_nan = 0;
  std::vector<Candidate> candidates;
  Candidate gumbel;
  double gumbel_score = -std::numeric_limits<double>::infinity();
};

Reference Compute(std::span<const float> logits, int64_t first_id, const CandidateTask& task) {
  Reference result;
  for (size_t c = 0; c < logits.size(); ++c) {
    const float l = logits[c];
    const auto id = static_cast<int32_t>(first_id + static_cast<int64_t>(c));
    if (std::isnan(l) || l == kInfinity) {
      ++result.num_nan;
      continue;
    }
    if (l == -kInfinity) continue;
    result.max = std::max(result.max, l);
    result.candidates.push_back({id, l});
    if (task.gumbel == CandidateTask::Gumbel::kWanted && l >= task.min_logit) {
      const float score = l * task.inv_temperature +
                          static_cast<float>(GumbelVariate(task.seed, task.choice, task.index, id));
      if (static_cast<double>(score) > result.gumbel_score) {
        result.gumbel_score = static_cast<double>(score);
        result.gumbel = {id, l};
      }
    }
  }
  for (const Candidate& candidate : result.candidates) {
    result.sum_exp +=
        std::exp((static_cast<double>(candidate.logit) - static_cast<double>(result.max)) *
                 static_cast<double>(task.inv_temperature));
  }
  std::stable_sort(result.candidates.begin(), result.candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
  result.candidates.resize(std::min(result.candidates.size(), static_cast<size_t>(task.top_k)));
  return result;
}

void ExpectEqual(const CandidateResult& actual, const Reference& expected) {
  EXPECT_EQ(actual.max, expected.max);
  EXPECT_EQ(actual.num_nan, expected.num_nan);
  EXPECT_NEAR(actual.sum_exp, expected.sum_exp, 1e-5 * expected.sum_exp);
  EXPECT_EQ(actual.gumbel.id, expected.gumbel.id);
  EXPECT_EQ(actual.gumbel_score, expected.gumbel_score);
  EXPECT_EQ(actual.gumbel.logit, expected.gumbel.logit);
  ASSERT_EQ(actual.candidates.size(), expected.candidates.size());
  for (size_t i = 0; i < expected.candidates.size(); ++i) {
    EXPECT_EQ(actual.candidates[i].id, expected.candidates[i].id) << i;
    EXPECT_EQ(actual.candidates[i].logit, expected.candidates[i].logit) << i;
  }
}

class CandidatesTest : public ::testing::TestWithParam<std::string> {};

TEST_P(CandidatesTest, MatchTheReference) {
  Generator generator(21);
  for (const int threads : {1, 3}) {
    const auto backend = testing::MakeBackend(GetParam(), threads);
    for (const int64_t columns : {1, 5, 63, 64, 65, 1000, 20011}) {
      constexpr int64_t kRows = 4;
      std::vector<float> logits = testing::RandomFloats(kRows * columns, generator, 4.0F);
      // Ties, and entries that must not be chosen.
      for (size_t i = 0; i < logits.size(); i += 3) logits[i] = std::round(logits[i]);
      for (size_t i = 0; i < logits.size(); i += 17) logits[i] = -kInfinity;
      std::vector<CandidateTask> tasks;
      for (const int32_t k : {0, 1, 7, 20, 1024, static_cast<int32_t>(columns)}) {
        for (int64_t row = 0; row < kRows; ++row) {
          tasks.push_back(
              {.row = row,
               .top_k = k,
               .inv_temperature = row == 1 ? 0.5F : 1.7F,
               .gumbel = k == 1 ? CandidateTask::Gumbel::kNone : CandidateTask::Gumbel::kWanted,
               .seed = generator(),
               .choice = static_cast<uint32_t>(row),
               .index = static_cast<uint32_t>(k) + 5,
               .min_logit = row == 2 ? 1.5F : std::numeric_limits<float>::lowest()});
        }
      }
      std::vector<CandidateResult> results(tasks.size());
      constexpr int64_t kFirstId = 151000;
      backend->SelectCandidates(ViewOf(logits, kRows, columns), kFirstId, tasks, results);
      for (size_t i = 0; i < tasks.size(); ++i) {
        SCOPED_TRACE(::testing::Message()
                     << columns << " columns, task " << i << ", k = " << tasks[i].top_k);
        const std::span<const float> row(logits.data() + tasks[i].row * columns,
                                         static_cast<size_t>(columns));
        ExpectEqual(results[i], Compute(row, kFirstId, tasks[i]));
      }
    }
  }
}

TEST_P(CandidatesTest, CountsBadLogitsAndChoosesNone) {
  const auto backend = testing::MakeBackend(GetParam(), 1);
  std::vector<float> logits(100, -1.0F);
  logits[0] = testing::kNaN;
  logits[50] = kInfinity;
  logits[99] = -testing::kNaN;
  logits[7] = -kInfinity;
  logits[70] = 2.0F;
  const CandidateTask task{.top_k = 100, .gumbel = CandidateTask::Gumbel::kWanted, .seed = 5};
  CandidateResult result;
  backend->SelectCandidates(ViewOf(logits, 1, 100), 0, {&task, 1}, {&result, 1});
  EXPECT_EQ(result.num_nan, 3);
  ExpectEqual(result, Compute(logits, 0, task));
}

TEST_P(CandidatesTest, NothingToChooseFrom) {
  const auto backend = testing::MakeBackend(GetParam(), 1);
  const CandidateTask task{.top_k = 3, .gumbel = CandidateTask::Gumbel::kWanted};
  for (const int64_t columns : {0, 40}) {
    std::vector<float> logits(static_cast<size_t>(columns), -kInfinity);
    CandidateResult result{
        .max = 1.0F, .sum_exp = 1.0, .gumbel = {3, 1.0F}, .candidates = {{1, 1.0F}}};
    backend->SelectCandidates(ViewOf(logits, 1, columns), 10, {&task, 1}, {&result, 1});
    EXPECT_EQ(result.max, -kInfinity);
    EXPECT_EQ(result.sum_exp, 0.0);
    EXPECT_EQ(result.gumbel.id, -1);
    EXPECT_TRUE(result.candidates.empty());
  }
}

TEST_P(CandidatesTest, EqualLogitsGiveTheLowestIds) {
  const auto backend = testing::MakeBackend(GetParam(), 1);
  std::vector<float> logits(5000, 0.25F);
  const CandidateTask task{.top_k = 6};
  CandidateResult result;
  backend->SelectCandidates(ViewOf(logits, 1, 5000), 3, {&task, 1}, {&result, 1});
  ASSERT_EQ(result.candidates.size(), 6u);
  for (int32_t i = 0; i < 6; ++i) EXPECT_EQ(result.candidates[static_cast<size_t>(i)].id, 3 + i);
}

INSTANTIATE_TEST_SUITE_P(All, CandidatesTest, ::testing::ValuesIn(AvailableCpuIsas()));

// The winner over shards is the winner over the whole row, with the same score.
TEST(GumbelShardTest, ShardsAgreeWithTheWhole) {
  const auto backend = testing::MakeBackend("", 2);
  Generator generator(22);
  std::vector<float> logits = testing::RandomFloats(4000, generator, 2.0F);
  for (uint32_t index = 0; index < 200; ++index) {
    const CandidateTask task{.inv_temperature = 0.7F,
                             .gumbel = CandidateTask::Gumbel::kWanted,
                             .seed = 77,
                             .index = index};
    CandidateResult whole;
    backend->SelectCandidates(ViewOf(logits, 1, 4000), 0, {&task, 1}, {&whole, 1});
    CandidateResult best{.gumbel_score = -HUGE_VAL};
    const int64_t cuts[] = {0, 1, 130, 1957, 4000};
    for (size_t s = 0; s + 1 < std::size(cuts); ++s) {
      CandidateResult shard;
      const TensorView view =
          MakeTensor(logits.data() + cuts[s], DType::kF32, 1, cuts[s + 1] - cuts[s]);
      backend->SelectCandidates(view, cuts[s], {&task, 1}, {&shard, 1});
      if (shard.gumbel_score > best.gumbel_score) best = shard;
    }
    EXPECT_EQ(best.gumbel.id, whole.gumbel.id);
    EXPECT_EQ(best.gumbel_score, whole.gumbel_score);
  }
}

// Chi-square of 200,000 samples against the softmax.
TEST(GumbelSampleTest, SamplesTheSoftmax) {
  const auto backend = testing::MakeBackend("", 1);
  constexpr int64_t kColumns = 50;
  constexpr int kSamples = 200000;
  Generator generator(23);
  std::vector<float> logits = testing::RandomFloats(kColumns, generator, 1.5F);
  std::vector<double> probability;
  for (const float l : logits) probability.push_back(std::exp(static_cast<double>(l) / 2.0));
  const double total = std::accumulate(probability.begin(), probability.end(), 0.0);
  std::vector<int> counts(kColumns, 0);
  for (uint32_t i = 0; i < kSamples; ++i) {
    const CandidateTask task{.inv_temperature = 0.5F,
                             .gumbel = CandidateTask::Gumbel::kWanted,
                             .seed = 123456789012345ULL,
                             .index = i};
    CandidateResult result;
    backend->SelectCandidates(ViewOf(logits, 1, kColumns), 0, {&task, 1}, {&result, 1});
    ++counts[static_cast<size_t>(result.gumbel.id)];
  }
  double chi_square = 0.0;
  for (size_t c = 0; c < counts.size(); ++c) {
    const double expected = probability[c] / total * kSamples;
    chi_square += (counts[c] - expected) * (counts[c] - expected) / expected;
  }
  // 49 degrees of freedom: above 94.1 with probability 1e-4, and the seed is fixed.
  EXPECT_LT(chi_square, 94.1);
}

}  // namespace
}  // namespace phalanx
