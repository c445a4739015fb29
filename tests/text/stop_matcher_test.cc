#include "text/stop_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace phalanx {
namespace {

StopMatcher Make(std::vector<std::string> stops, StopText stop_text = StopText::kDrop) {
  auto matcher = StopMatcher::Create(std::move(stops), {stop_text});
  EXPECT_TRUE(matcher.ok()) << matcher.status();
  return *std::move(matcher);
}

struct Result {
  std::string text;
  std::optional<size_t> stop_index;
};

// By definition: the match that ends first after `passed` bytes, of those the longest.
Result Expected(const std::string& text, const std::vector<std::string>& stops, size_t passed = 0) {
  for (size_t end = passed + 1; end <= text.size(); ++end) {
    std::optional<size_t> best;
    for (size_t i = 0; i < stops.size(); ++i) {
      if (!std::string_view(text).substr(0, end).ends_with(stops[i])) continue;
      if (!best || stops[i].size() > stops[*best].size()) best = i;
    }
    if (best) return {text.substr(0, end - stops[*best].size()), best};
  }
  return {text, std::nullopt};
}

TEST(StopMatcherTest, EqualsTheDefinitionHoweverTheTextIsCut) {
  std::mt19937_64 random(3);
  const auto random_text = [&](size_t longest) {
    std::string text;
    for (auto n = 1 + random() % longest; n > 0; --n) text.push_back("ab\n"[random() % 3]);
    return text;
  };
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops;
    for (auto n = 1 + random() % 4; n > 0; --n) stops.push_back(random_text(6));
    const std::string text = random_text(30);
    const Result expected = Expected(text, stops);
    StopMatcher matcher = Make(stops);
    Result actual;
    for (size_t at = 0; at < text.size();) {
      const size_t length = std::min<size_t>(1 + random() % 5, text.size() - at);
      const StopMatcher::Output output = matcher.Append(text.substr(at, length));
      at += length;
      actual.text += output.text;
      if (output.stop_index) actual.stop_index = output.stop_index;
      // Nothing of a stop string, and nothing that may become one, was let through.
      ASSERT_TRUE(expected.text.starts_with(actual.text));
    }
    actual.text += matcher.Flush();
    ASSERT_EQ(actual.text, expected.text);
    ASSERT_EQ(actual.stop_index, expected.stop_index);
  }
}

TEST(StopMatcherTest, WhatEndsInPassedTextDoesNotCountAndWhatBeginsThereDoes) {
  std::mt19937_64 random(4);
  const auto random_text = [&](size_t longest) {
    std::string text;
    for (auto n = 1 + random() % longest; n > 0; --n) text.push_back("ab\n"[random() % 3]);
    return text;
  };
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops;
    for (auto n = 1 + random() % 4; n > 0; --n) stops.push_back(random_text(6));
    const std::string text = random_text(30);
    const size_t passed = random() % text.size();
    const Result expected = Expected(text, stops, passed);
    StopMatcher matcher = Make(stops);
    Result actual;
    for (size_t at = 0; at < text.size();) {
      const size_t end = at < passed ? passed : text.size();
      const size_t length = std::min<size_t>(1 + random() % 5, end - at);
      if (at < passed) {
        actual.text += matcher.Pass(text.substr(at, length));
      } else {
        const StopMatcher::Output output = matcher.Append(text.substr(at, length));
        actual.text += output.text;
        if (output.stop_index) actual.stop_index = output.stop_index;
      }
      at += length;
      ASSERT_TRUE(expected.text.starts_with(actual.text));
    }
    actual.text += matcher.Flush();
    ASSERT_EQ(actual.text, expected.text);
    ASSERT_EQ(actual.stop_index, expected.stop_index);
  }
}

TEST(StopMatcherTest, PassedTextIsWithheldOnlyWhereAMatchMayGoOn) {
  StopMatcher matcher = Make({"ab", "b!"});
  EXPECT_EQ(matcher.Pass("xab"), "xa") << "ab has ended, b! may begin";
  EXPECT_EQ(matcher.Append("!").stop_index, 1U);
}

TEST(StopMatcherTest, WithholdsOnlyWhatMayBecomeAStopString) {
  StopMatcher matcher = Make({"STOP"});
  EXPECT_EQ(matcher.Append("hello ST").text, "hello ");
  EXPECT_EQ(matcher.withheld_bytes(), 2U);
  EXPECT_EQ(matcher.Append("ART").text, "START");  // "T" begins no stop string
  EXPECT_EQ(matcher.Append("S").text, "");
  EXPECT_EQ(matcher.Flush(), "S");
  EXPECT_EQ(matcher.Append("more").text, "");
}

TEST(StopMatcherTest, IncludesTheStopStringWhereAsked) {
  StopMatcher matcher = Make({"</s>", "\xC3\xA9"}, StopText::kInclude);
  EXPECT_EQ(matcher.Append("ab\xC3\xA8<").text, "ab\xC3\xA8");
  const auto output = matcher.Append("/s>rest");
  EXPECT_EQ(output.text, "</s>");
  EXPECT_EQ(output.stop_index, 0U);
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcherTest, RefusesEmptyAndBrokenStopStrings) {
  EXPECT_EQ(StopMatcher::Create({"a", ""}).status().field(), "stop[1]");
  EXPECT_EQ(StopMatcher::Create({"\xFF"}).status().field(), "stop[0]");
}

TEST(StopMatcherTest, PassesEverythingWithoutStopStrings) {
  StopMatcher matcher = Make({});
  EXPECT_EQ(matcher.Append("abc").text, "abc");
  EXPECT_EQ(matcher.withheld_bytes(), 0U);
}

}  // namespace
}  // namespace phalanx
