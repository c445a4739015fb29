#include "text/utf8.h"

#include <gtest/gtest.h>

namespace phalanx {
namespace {

std::string Lossy(std::string_view bytes) {
  std::string out;
  AppendLossyUtf8(bytes, &out);
  return out;
}

TEST(Utf8Test, FindsTheFirstBrokenByte) {
  EXPECT_EQ(FindInvalidUtf8(""), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("abcdefghijklmnopq\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80z"),
            std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("12345678\x80"), 8U);
  EXPECT_EQ(FindInvalidUtf8("a\xC3"), 1U);
  EXPECT_EQ(FindInvalidUtf8("a\xE0\x9F\xBF"), 1U);      // overlong
  EXPECT_EQ(FindInvalidUtf8("a\xED\xA0\x80"), 1U);      // surrogate
  EXPECT_EQ(FindInvalidUtf8("a\xF4\x90\x80\x80"), 1U);  // beyond U+10FFFF
}

TEST(Utf8Test, ReplacesMaximalSubparts) {
  constexpr const char* kR = "\xEF\xBF\xBD";
  const std::string r = kR;
  EXPECT_EQ(Lossy("a\xF0\x9F\x98z"), "a" + r + "z");
  EXPECT_EQ(Lossy("\xE0\x80\x80"), r + r + r);
  EXPECT_EQ(Lossy("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(Lossy("\xF1\x80\x80\xC3\xA9\x80"), r + "\xC3\xA9" + r);
  EXPECT_EQ(Lossy("\xC3"), r);
}

TEST(Utf8Test, SetsUnfinishedCharactersAside) {
  std::string out;
  std::string unfinished;
  AppendLossyUtf8("ab\xF0\x9F\x98", &out, &unfinished);
  EXPECT_EQ(out, "ab");
  EXPECT_EQ(unfinished, "\xF0\x9F\x98");
}

TEST(Utf8Test, CodePointsSurviveARoundTrip) {
  for (uint32_t cp = 0; cp <= 0x10FFFF; ++cp) {
    if (cp >= 0xD800 && cp < 0xE000) continue;
    std::string text;
    AppendCodePoint(cp, &text);
    ASSERT_EQ(FindInvalidUtf8(text), std::nullopt);
    ASSERT_EQ(DecodeCodePoint(text.data()).value, cp);
    ASSERT_EQ(DecodeCodePoint(text.data()).length_bytes, text.size());
    text.insert(0, "\xE4\xBD\xA0");
    ASSERT_EQ(PreviousCodePoint(text, text.size()), 3U);
  }
}

}  // namespace
}  // namespace phalanx
