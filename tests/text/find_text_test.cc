#include "text/find_text.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/testing/cpu_time.h"

namespace phalanx {
namespace {

TEST(FindTextTest, FindsWhatTheLibraryFinds) {
  std::mt19937 random(5);
  const auto draw = [&](size_t max_length) {
    std::string text(random() % (max_length + 1), 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = draw(24);
    const std::string part = draw(6);
    EXPECT_EQ(FindLast(text, part), text.rfind(part)) << text << " " << part;
  }
}

TEST(FindTextTest, RepetitionsCostNoMoreThanTheirLength) {
  const auto make = [](int size) { return std::string(static_cast<size_t>(size), 'a'); };
  const auto run = [](const std::string& text) {
    const std::string part = text.substr(0, text.size() / 4) + 'b';
    EXPECT_EQ(FindLast(text, part), std::string::npos);
  };
  EXPECT_LT(testing::GrowthWithFourTimes(1 << 18, make, run), testing::kLinearGrowth);
}

}  // namespace
}  // namespace phalanx
