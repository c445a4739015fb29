#include "coordinator/core/json_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace phalanx {
namespace {

std::string Nested(int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += "{\"a\":";
  text += "1";
  for (int i = 0; i < depth; ++i) text += "}";
  return text;
}

TEST(JsonCheckTest, TakesOrdinaryObjects) {
  const Limits limits;
  for (const std::string text :
       {"{}", R"({"a":[1,2.5,null,true,"x",{"b":{}}]})", R"({"a":{"b":1},"b":{"b":1}})"}) {
    EXPECT_TRUE(CheckJsonObject("f", text, limits).ok()) << text;
  }
  EXPECT_TRUE(CheckJsonObject("f", Nested(limits.max_json_depth), limits).ok());
}

TEST(JsonCheckTest, RefusesWithTheField) {
  const Limits limits;
  std::string many = "{";
  for (int i = 0; i <= limits.max_json_keys; ++i) {
    if (i > 0) many += ',';
    many += fmt::format("\"{}\":0", i);
  }
  const std::string rows[] = {
      "",
      "x",
      "[]",
      "7",
      "\"s\"",
      "null",
      "{\"a\":1",
      "{\"a\":}",
      "{} {}",
      "{\"a\":NaN}",
      "{a}",
      many,
      Nested(limits.max_json_depth + 1),
      R"({"a":1,"a":2})",
      R"({"x":[{"k":1,"k":1}]})",
      "{\"a\":\"\xff\"}",
      std::string(100'000, '['),
  };
  for (const std::string& text : rows) {
    const Status status = CheckJsonObject("tools_json[3]", text, limits);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << text.substr(0, 40);
    EXPECT_EQ(status.field(), "tools_json[3]") << text.substr(0, 40);
  }
}

}  // namespace
}  // namespace phalanx
