// RmsNorm, AddRmsNorm, Add, GatherRows and Embedding.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>

#include "kernels/backend_factory.h"
#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"
#include "tests/testing/tolerance.h"

namespace phalanx {
namespace {

using testing::Generator;
using testing::ViewOf;

struct Shape {
  int64_t rows;
  int64_t cols;
};
void PrintTo(const Shape& shape, std::ostream* os) { *os << shape.rows << "x" << shape.cols; }

class RowOpsTest : public ::testing::TestWithParam<std::tuple<std::string, Shape>> {
 protected:
  const std::string& isa() const { return std::get<0>(GetParam()); }
  Shape shape() const { return std::get<1>(GetParam()); }
  int64_t size() const { return shape().rows * shape().cols; }
  TensorView View(std::vector<float>& values) const {
    return ViewOf(values, shape().rows, shape().cols);
  }

  std::unique_ptr<Backend> backend_ = testing::MakeBackend(isa(), 2);
  Generator generator_{7};
};

constexpr float kEps = 1e-6F;

TEST_P(RowOpsTest, RmsNormMatchesOracle) {
  std::vector<float> x = testing::RandomFloats(size(), generator_, 5.0F);
  const std::vector<float> weight = testing::RandomFloats(shape().cols, generator_);
  std::vector<float> out = testing::NaNs(size());
  backend_->RmsNorm(View(x), weight, kEps, View(out));
  const testing::Expected expected =
      testing::RmsNormOracle(x, weight, kEps, shape().rows, shape().cols);
  EXPECT_EQ(testing::Mismatch(out, expected), "");
  backend_->RmsNorm(View(x), weight, kEps, View(x));
  EXPECT_EQ(testing::BitMismatch(x, out), "") << "in place";
}

TEST_P(RowOpsTest, AddRmsNormMatchesOracle) {
  std::vector<float> residual = testing::RandomFloats(size(), generator_);
  std::vector<float> delta = testing::RandomFloats(size(), generator_);
  const std::vector<float> weight = testing::RandomFloats(shape().cols, generator_);
  std::vector<float> sum(residual.size());
  std::transform(residual.begin(), residual.end(), delta.begin(), sum.begin(), std::plus<>());
  std::vector<float> out = testing::NaNs(size());
  backend_->AddRmsNorm(View(residual), View(delta), weight, kEps, View(out));
  EXPECT_EQ(testing::BitMismatch(residual, sum), "");
  EXPECT_EQ(
      testing::Mismatch(out, testing::RmsNormOracle(sum, weight, kEps, shape().rows, shape().cols)),
      "");
}

TEST_P(RowOpsTest, AddIsExactAndMayAlias) {
  std::vector<float> a = testing::RandomFloats(size(), generator_);
  std::vector<float> b = testing::RandomFloats(size(), generator_);
  std::vector<float> expected(a.size());
  std::transform(a.begin(), a.end(), b.begin(), expected.begin(), std::plus<>());
  std::vector<float> out = testing::NaNs(size());
  backend_->Add(View(a), View(b), View(out));
  EXPECT_EQ(testing::BitMismatch(out, expected), "");
  backend_->Add(View(a), View(b), View(a));
  EXPECT_EQ(testing::BitMismatch(a, expected), "");
}

TEST_P(RowOpsTest, GatherRowsCopies) {
  std::vector<float> x = testing::RandomFloats(size(), generator_);
  std::vector<int32_t> rows;
  for (int i = 0; i < (shape().rows == 0 ? 0 : 9); ++i) {
    rows.push_back(static_cast<int32_t>(generator_() % static_cast<uint64_t>(shape().rows)));
  }
  std::vector<float> out = testing::NaNs(static_cast<int64_t>(rows.size()) * shape().cols);
  std::vector<float> expected;
  for (const int32_t row : rows) {
    expected.insert(expected.end(), x.begin() + row * shape().cols,
                    x.begin() + (row + 1) * shape().cols);
  }
  backend_->GatherRows(View(x), rows, ViewOf(out, static_cast<int64_t>(rows.size()), shape().cols));
  EXPECT_EQ(testing::BitMismatch(out, expected), "");
}

TEST_P(RowOpsTest, EmbeddingReadsThePackedRowOrWritesZeros) {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    const testing::RandomWeight weight =
        testing::MakeWeight(shape().rows, shape().cols, dtype, generator_);
    const auto table = testing::Pack(*backend_, weight);
    constexpr int32_t kFirstId = 1000;
    std::vector<int32_t> ids = {0, kFirstId - 1, kFirstId + static_cast<int32_t>(shape().rows)};
    for (int64_t row = shape().rows - 1; row >= 0; --row) {
      ids.push_back(kFirstId + static_cast<int32_t>(row));
    }
    const auto num_tokens = static_cast<int64_t>(ids.size());
    std::vector<float> expected(static_cast<size_t>(num_tokens * shape().cols), 0.0F);
    for (size_t t = 3; t < ids.size(); ++t) {
      std::copy_n(weight.values.begin() + (ids[t] - kFirstId) * shape().cols, shape().cols,
                  expected.begin() + static_cast<int64_t>(t) * shape().cols);
    }
    std::vector<float> out = testing::NaNs(num_tokens * shape().cols);
    backend_->Embedding(ids, *table, kFirstId, ViewOf(out, num_tokens, shape().cols));
    EXPECT_EQ(testing::BitMismatch(out, expected), "") << Name(dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RowOpsTest,
                         ::testing::Combine(::testing::ValuesIn(AvailableCpuIsas()),
                                            ::testing::Values(Shape{0, 5}, Shape{1, 1}, Shape{3, 7},
                                                              Shape{5, 63}, Shape{2, 64},
                                                              Shape{7, 129}, Shape{40, 896},
                                                              Shape{3, 3585})));

TEST(RmsNormTest, ARowHasTheSameBitsAmongAnyRowsAndThreads) {
  constexpr int64_t kCols = 903;
  for (const std::string& isa : AvailableCpuIsas()) {
    Generator generator(8);
    std::vector<float> x = testing::RandomFloats(64 * kCols, generator);
    const std::vector<float> weight = testing::RandomFloats(kCols, generator);
    std::vector<float> alone = testing::NaNs(64 * kCols);
    const auto one = testing::MakeBackend(isa, 1);
    for (int64_t r = 0; r < 64; ++r) {
      one->RmsNorm(MakeTensor(x.data() + r * kCols, DType::kF32, 1, kCols), weight, kEps,
                   MakeTensor(alone.data() + r * kCols, DType::kF32, 1, kCols));
    }
    for (const int threads : {1, 2, 3, 4}) {
      std::vector<float> out = testing::NaNs(64 * kCols);
      testing::MakeBackend(isa, threads)
          ->RmsNorm(ViewOf(x, 64, kCols), weight, kEps, ViewOf(out, 64, kCols));
      EXPECT_EQ(testing::BitMismatch(out, alone), "") << isa << ", " << threads << " threads";
    }
  }
}

TEST(RmsNormTest, EpsKeepsAZeroRowFinite) {
  const auto backend = testing::MakeBackend("", 1);
  std::vector<float> x(10, 0.0F);
  std::vector<float> out = testing::NaNs(10);
  backend->RmsNorm(ViewOf(x, 1, 10), std::vector<float>(10, 1.0F), kEps, ViewOf(out, 1, 10));
  EXPECT_EQ(testing::BitMismatch(out, x), "");
}

}  // namespace
}  // namespace phalanx
