#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/expression_size.h"
#include "grammar/grammar_spec.h"

namespace phalanx {
namespace {

using Kind = GrammarSpec::Kind;
using testing::HasSubstr;

StatusOr<int64_t> States(std::string_view expression) {
  return ExpressionStates(expression, 16, 4096);
}

TEST(ExpressionStatesTest, WritesRepetitionsOut) {
  EXPECT_EQ(*States("abc"), 3);
  EXPECT_EQ(*States("a{5}"), 5);
  EXPECT_EQ(*States("(ab){2,3}c"), 7);
  EXPECT_EQ(*States("((a{10}){10}){10}"), 1000);
  EXPECT_EQ(*States("[a-z]{4}\\d+|b*"), 6);
  EXPECT_EQ(*States("[]]"), 1);
  EXPECT_EQ(*States("[^]\\]]x"), 2);
  EXPECT_EQ(*States("a{2,}b"), 3);
  EXPECT_EQ(*States("((((a{4096}){4096}){4096}){4096}){4096}"), 1152921504606846976);
}

TEST(ExpressionStatesTest, RefusesBrokenExpressions) {
  for (const char* broken :
       {"(", ")", "a)", "[a", "[", "\\", "a{", "a{x}", "a{4097}", "a{-1}",
        "a{1,99999999999999999999}", "((((((((((((((((((a))))))))))))))))))"}) {
    EXPECT_FALSE(States(broken).ok()) << broken;
  }
}

struct Refusal {
  Kind kind;
  std::string source;
  std::string says;
};

TEST(CheckGrammarSpecTest, NamesFieldAndReason) {
  const std::string deep_json = std::string(60, '[') + std::string(60, ']');
  std::string deep_schema = R"({"type":"integer"})";
  for (int i = 0; i < 16; ++i) deep_schema = R"({"items":)" + deep_schema + "}";
  const Refusal refusals[] = {
      {Kind::kJsonSchema, "{", "is not JSON"},
      {Kind::kJsonSchema, "[]", "neither an object nor a boolean"},
      {Kind::kJsonSchema, deep_json, "deeper than 16"},
      {Kind::kJsonSchema, deep_schema, "deeper than 16"},
      {Kind::kJsonSchema, R"({"$ref":"http://example.com/a"})", "another document"},
      {Kind::kJsonSchema, R"({"items":true,"maxItems":5000})", "maxItems 5000, allowed: 0 to 4096"},
      {Kind::kJsonSchema, R"({"minLength":-1})", "minLength -1"},
      {Kind::kJsonSchema, R"({"pattern":"(a"})", "without its ')'"},
      {Kind::kJsonSchema, R"({"maxItems":4000,"items":{"maxItems":4000,"items":true}})", "states"},
      {Kind::kRegex, "", "is empty"},
      {Kind::kRegex, "(a{1000}){1000}", "1000000 states"},
      {Kind::kRegex, std::string(70'000, 'a'), "70000 bytes long"},
      {Kind::kChoice, "", "is empty"},
  };
  for (const Refusal& refusal : refusals) {
    const Status status =
        CheckGrammarSpec({.kind = refusal.kind, .source = refusal.source}, {}, "response_format");
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << refusal.source.substr(0, 40);
    EXPECT_EQ(status.field(), "response_format");
    EXPECT_THAT(status.message(), HasSubstr(refusal.says)) << refusal.source.substr(0, 40);
  }
}

TEST(CheckGrammarSpecTest, AcceptsWhatPeopleSend) {
  EXPECT_TRUE(CheckGrammarSpec({.kind = Kind::kJsonObject}, {}, "f").ok());
  EXPECT_TRUE(
      CheckGrammarSpec({.kind = Kind::kRegex, .source = R"(\d{4}-\d{2}-\d{2})"}, {}, "f").ok());
  EXPECT_TRUE(
      CheckGrammarSpec({.kind = Kind::kChoice, .source = {}, .choices = {"yes", "no"}}, {}, "f")
          .ok());
  const std::string schema =
      R"({"type":"object","properties":{"name":{"type":"string","maxLength":40},
      "tags":{"type":"array","items":{"enum":["a","b"]},"maxItems":8},"next":{"$ref":"#"}},
      "required":["name"],"additionalProperties":false,"$defs":{"x":{"const":3}}})";
  EXPECT_TRUE(CheckGrammarSpec({.kind = Kind::kJsonSchema, .source = schema}, {}, "f").ok());
}

}  // namespace
}  // namespace phalanx
