#include "coordinator/openai/unknown_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

namespace phalanx::openai {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kKnown[] = {"temperature", "top_p", "top_k", "n"};

TEST(NearestNameTest, FindsTheFewestEdits) {
  EXPECT_EQ(NearestName("temperture", kKnown), "temperature");
  EXPECT_EQ(NearestName("topp", kKnown), "top_p");
  EXPECT_EQ(NearestName("top_q", kKnown), "top_p");
  EXPECT_EQ(NearestName("frequency", kKnown), "");
  EXPECT_EQ(NearestName(std::string(100, 'n'), kKnown), "");
}

TEST(UnknownFieldsTest, StrictNamesTheNearest) {
  UnknownFields unknown(UnknownFieldPolicy::kRefuse);
  const Status status = unknown.Meet("", "temperture", kKnown);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.field(), "temperture");
  EXPECT_THAT(status.message(), HasSubstr("the nearest is temperature"));
  EXPECT_EQ(unknown.Meet("messages[1]", "x", kKnown).field(), "messages[1].x");
}

TEST(UnknownFieldsTest, LogsEachNameOnceAndNotWithoutBound) {
  std::ostringstream log;
  const auto previous = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_st>(log)));
  UnknownFields unknown(UnknownFieldPolicy::kIgnore);
  EXPECT_TRUE(unknown.Meet("", "odd\nname", kKnown).ok());
  EXPECT_TRUE(unknown.Meet("messages[3]", "odd\nname", kKnown).ok());
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(unknown.Meet("", std::to_string(i), kKnown).ok());
  spdlog::set_default_logger(previous);
  const std::string text = log.str();
  EXPECT_THAT(text, HasSubstr("\"odd\\x0aname\""));
  EXPECT_EQ(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')),
            UnknownFields::kMaxNames);
}

}  // namespace
}  // namespace phalanx::openai
