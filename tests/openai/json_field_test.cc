#include "coordinator/openai/json_field.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/core/printable.h"

namespace phalanx::openai {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(std::string_view body, Limits limits = {}) {
  const auto parsed = ParseBody(body, limits);
  return parsed.ok() ? "" : parsed.status().message();
}

TEST(ParseBodyTest, RefusesWhatIsNotStrict) {
  EXPECT_EQ(ErrorOf("{}"), "");
  EXPECT_EQ(ErrorOf("{\"a\":\"\\ud83d\\ude42\"}"), "");
  for (const char* body :
       {"", "[]", "1", "{", "{}x", "{'a':1}", "{\"a\":1,}", "{\"a\":01}", "{\"a\":NaN}",
        "{\"a\":1e999}", "{\"a\":\"\xff\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00x\"}",
        "{\"a\":\"\n\"}", "{\"a\":1,\"a\":2}", "{\"b\":{\"a\":1,\"a\":2}}"}) {
    EXPECT_NE(ErrorOf(body), "") << body;
  }
}

TEST(ParseBodyTest, NamesTheFieldOfANumberThatIsTooLarge) {
  for (const auto& [body, message] : {
           std::pair(R"({"n":1,"top_p":1e400})",
                     "body.top_p: is 1e400, allowed: numbers that a double can hold"),
           std::pair(R"({"logit_bias":{"5":[{"x":-1e999}]}})",
                     "body.logit_bias: is -1e999, allowed: numbers that a double can hold"),
       }) {
    const auto parsed = ParseBody(body, {});
    EXPECT_EQ(parsed.status().message(), message);
    EXPECT_EQ(parsed.status().field(),
              parsed.status().message().substr(0, parsed.status().field().size()));
    EXPECT_THAT(parsed.status().field(), ::testing::StartsWith("body."));
  }
  EXPECT_THAT(ErrorOf("{\"a\":1" + std::string(5000, '0') + "}"), HasSubstr("000..., allowed"));
  EXPECT_EQ(ParseBody("{", {}).status().field(), "");
}

TEST(ParseBodyTest, BoundsDepthAndKeys) {
  const auto nested = [](int depth) {
    return "{\"a\":" + std::string(static_cast<size_t>(depth - 1), '[') +
           std::string(static_cast<size_t>(depth - 1), ']') + "}";
  };
  EXPECT_EQ(ErrorOf(nested(32)), "");
  EXPECT_THAT(ErrorOf(nested(33)), HasSubstr("deeper than 32"));
  Limits limits;
  limits.max_json_keys = 2;
  EXPECT_EQ(ErrorOf(R"({"a":1,"b":2})", limits), "");
  EXPECT_THAT(ErrorOf(R"({"a":1,"b":{"c":2}})", limits), HasSubstr("more than 2 keys"));
}

TEST(JsonFieldTest, TypesAndTheirErrors) {
  const Json json = Json::parse(
      R"({"b":true,"i":-5,"f":5.0,"h":0.5,"s":"x\n","l":[1],"big":3000000000,"u":18446744073709551615,"huge":1e300})");
  const JsonField root("", json);
  EXPECT_EQ(root.At("b").Bool().value(), true);
  EXPECT_EQ(root.At("i").Int32().value(), -5);
  EXPECT_EQ(root.At("f").Int32().value(), 5);
  EXPECT_EQ(root.At("h").Float().value(), 0.5F);
  EXPECT_EQ(root.At("i").Float().value(), -5.0F);
  EXPECT_EQ(root.At("u").Seed().value(), ~uint64_t{0});
  EXPECT_EQ(root.At("i").Seed().value(), static_cast<uint64_t>(-5));
  EXPECT_EQ(root.At("h").Int32().status().message(), "h: is 0.5, allowed: an integer of 32 bits");
  EXPECT_FALSE(root.At("b").Int32().ok());
  EXPECT_FALSE(root.At("big").Int32().ok());
  EXPECT_FALSE(root.At("huge").Int32().ok());
  EXPECT_FALSE(root.At("huge").Float().ok());
  EXPECT_FALSE(root.At("b").Float().ok());
  EXPECT_EQ(root.At("f").Seed().value(), 5U);
  EXPECT_EQ(root.At("h").Seed().status().message(), "h: is 0.5, allowed: an integer of 64 bits");
  EXPECT_FALSE(root.At("huge").Seed().ok());
  EXPECT_FALSE(root.At("s").Seed().ok());
  EXPECT_EQ(root.At("s").Bool().status().message(), "s: is \"x\\x0a\", allowed: true or false");
  EXPECT_EQ(root.At("l").At(0).String().status().field(), "l[0]");
  EXPECT_EQ(root.At("l").String().status().message(),
            "l: is a list of 1 entries, allowed: a string");
  EXPECT_TRUE(root.Find("absent").is_null());
  EXPECT_EQ(root.Find("absent").path(), "absent");
}

TEST(JsonFieldTest, PathsAreSafeToPrint) {
  const Json json = Json::parse(R"({"a b":{"c":1},"\u0000\n":2})");
  const JsonField root("", json);
  EXPECT_EQ(root.At("a b").At("c").path(), "\"a b\".c");
  EXPECT_EQ(root.At(std::string_view("\0\n", 2)).path(), "\"\\x00\\x0a\"");
  EXPECT_LT(SafeKey(std::string(100000, 'x')).size(), 100U);
}

}  // namespace
}  // namespace phalanx::openai
