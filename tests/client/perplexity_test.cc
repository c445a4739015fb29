#include "client/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace phalanx {
namespace {

TEST(PerplexityTest, EachTokenCountsOnceWithWhatItsWindowLeavesIt) {
  for (int64_t n = 0; n < 40; ++n) {
    for (int64_t length = 2; length < 12; ++length) {
      for (int64_t stride = 1; stride <= length; ++stride) {
        std::vector<int> counted(static_cast<size_t>(n));
        for (const Window& window : SlidingWindows(n, length, stride)) {
          ASSERT_LE(window.end - window.begin, length);
          ASSERT_LE(window.end, n);
          ASSERT_GE(window.num_scored, 1);
          ASSERT_LT(window.num_scored, window.end - window.begin);
          for (int64_t i = window.end - window.num_scored; i < window.end; ++i)
            ++counted[static_cast<size_t>(i)];
        }
        for (int64_t i = 0; i < n; ++i) {
          const bool begins_a_window = i == 0 || (stride == length && i % stride == 0);
          ASSERT_EQ(counted[static_cast<size_t>(i)], begins_a_window ? 0 : 1)
              << i << " of " << n << ", " << length << ", " << stride;
        }
      }
    }
  }
}

TEST(PerplexityTest, WindowsAreAStrideApart) {
  const std::vector<Window> windows = SlidingWindows(10, 4, 3);
  ASSERT_EQ(windows.size(), 3u);
  for (size_t i = 0; i < windows.size(); ++i) {
    EXPECT_EQ(windows[i].begin, static_cast<int64_t>(3 * i));
    EXPECT_EQ(windows[i].num_scored, 3);
  }
}

TEST(PerplexityTest, IsTheExponentialOfTheMean) {
  LikelihoodSum sum;
  EXPECT_TRUE(std::isnan(sum.perplexity()));
  sum.Add(std::log(0.5));
  EXPECT_DOUBLE_EQ(sum.perplexity(), 2);
  EXPECT_TRUE(std::isnan(sum.standard_error()));
  sum.Add(std::log(0.125));
  EXPECT_DOUBLE_EQ(sum.perplexity(), 4);
  EXPECT_DOUBLE_EQ(sum.negative_log_likelihood(), 4 * std::log(2.0));
  // The mean of log 2 and 3 log 2 has the error log 2.
  EXPECT_NEAR(sum.standard_error(), 4 * std::log(2.0), 1e-12);
}

}  // namespace
}  // namespace phalanx
