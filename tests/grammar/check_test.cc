#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/ebnf_size.h"
#include "grammar/expression_size.h"
#include "grammar/grammar_spec.h"
#include "tests/testing/cpu_time.h"

namespace phalanx {
namespace {

using Kind = GrammarSpec::Kind;
using ::testing::HasSubstr;

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

StatusOr<int64_t> OfEbnf(std::string_view grammar) { return EbnfStates(grammar, 16, 4096); }

TEST(EbnfStatesTest, WritesRepetitionsOut) {
  EXPECT_EQ(*OfEbnf("root ::= \"abc\""), 5);  // the rule's name, and the literal with its end
  EXPECT_EQ(*OfEbnf("root ::= [0-9]{10}"), 11);
  EXPECT_EQ(*OfEbnf("root ::= ( [a] [b] ) {2, 3} [c]"), 8);
  EXPECT_EQ(*OfEbnf("root ::= ((a{10}){10}){10}"), 1001);
  EXPECT_EQ(*OfEbnf("root ::= a{4096}{4096}"), 1 + 4096 * 4096);
  // What stands in literals, classes and comments is no grammar.
  EXPECT_EQ(*OfEbnf("root ::= \"({\\\"#\" [({\\]#] # a comment: ({\"[\n"), 8);
}

TEST(EbnfStatesTest, RefusesBrokenGrammars) {
  for (const char* broken :
       {"root ::= (", "root ::= )", "root ::= \"a", "root ::= \"a\n\"", "root ::= [a",
        "root ::= a{", "root ::= a{4097}", "root ::= a{x}", "root ::= a{-1}",
        "root ::= ((((((((((((((((((a))))))))))))))))))", "root ::= Regex(\"a{9999}\")",
        "root ::= Token(5)", "root ::= TagDispatch((\"<a>\", b))", "a[capture=\"]#\"] ::= b"}) {
    EXPECT_FALSE(OfEbnf(broken).ok()) << broken;
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
  std::string deep_tag = R"({"type":"any_text"})";
  for (int i = 0; i < 16; ++i) deep_tag = R"({"type":"star","content":)" + deep_tag + "}";
  deep_tag = R"({"format":)" + deep_tag + "}";
  const Refusal refusals[] = {
      {Kind::kJsonSchema, "{", "is not JSON"},
      {Kind::kJsonSchema, "[]", "neither an object nor a boolean"},
      {Kind::kJsonSchema, deep_json, "deeper than 16"},
      {Kind::kJsonSchema, deep_schema, "deeper than 16"},
      {Kind::kJsonSchema, R"({"$ref":"http://example.com/a"})", "another document"},
      {Kind::kJsonSchema, R"({"items":true,"maxItems":5000})", "maxItems 5000, allowed: 0 to 4096"},
      {Kind::kJsonSchema, R"({"minLength":-1})", "minLength -1"},
      {Kind::kJsonSchema, R"({"pattern":"(a"})", "without its ')'"},
      {Kind::kJsonSchema, R"({"properties":{"a":{"const":1}},"required":["a","zz"]})",
       R"(requires "zz")"},
      {Kind::kJsonSchema, R"({"type":"object","required":["zz"]})", R"(requires "zz")"},
      {Kind::kJsonSchema, R"({"type":"object","anyOf":[{"required":[]}]})", "type beside anyOf"},
      {Kind::kJsonSchema, R"({"minimum":5,"anyOf":[{"maximum":9}]})", "minimum beside anyOf"},
      {Kind::kJsonSchema, R"({"$ref":"#/$defs/a","minimum":5,"$defs":{"a":{}}})",
       "minimum beside $ref"},
      {Kind::kJsonSchema, R"({"maximum":6,"allOf":[{"type":"integer"}]})", "maximum beside allOf"},
      {Kind::kJsonSchema, R"({"type":"string","enum":["a",1]})", "value 1 in its enum"},
      {Kind::kJsonSchema, R"({"type":["string","null"],"const":1.5})", "value 1.5 in its const"},
      {Kind::kJsonSchema, R"({"minimum":5,"enum":[1,7]})", "minimum beside enum"},
      {Kind::kJsonSchema, R"({"items":{"const":1,"enum":[1]}})", "const beside enum"},
      {Kind::kJsonSchema, R"({"type":"number","minimum":1e-7})",
       "minimum 1e-07, allowed: at most 6"},
      {Kind::kJsonSchema, R"({"type":"number","exclusiveMinimum":0.5,"exclusiveMaximum":0.500001})",
       "exclusiveMinimum 0.5 and exclusiveMaximum 0.500001, allowed: bounds with a number"},
      {Kind::kJsonSchema, R"({"items":{"type":["number","null"],"exclusiveMinimum":-0.000001,
                                       "exclusiveMaximum":0}})",
       "exclusiveMinimum -1e-06 and exclusiveMaximum 0"},
      {Kind::kJsonSchema, R"({"type":"number","minimum":1,"exclusiveMinimum":0,"maximum":0.5})",
       "minimum 1 and maximum 0.5"},
      {Kind::kJsonSchema, R"({"type":"number","minimum":2,"maximum":9,"exclusiveMaximum":2})",
       "minimum 2 and exclusiveMaximum 2"},
      {Kind::kJsonSchema, R"({"type":"string","pattern":"^\"a"})", "at byte 1"},
      {Kind::kJsonSchema, R"({"pattern":"[a\\p{L}]"})", "has \\p at byte 2"},
      {Kind::kJsonSchema, R"({"type":"string","pattern":"C:\\\\a"})", "at byte 2"},
      {Kind::kJsonSchema, R"({"type":"string","pattern":"a\nb"})", "control character"},
      {Kind::kJsonSchema, R"({"type":"string","pattern":"a\\nb"})", "control character"},
      {Kind::kJsonSchema, R"({"maxItems":4000,"items":{"maxItems":4000,"items":true}})", "states"},
      {Kind::kRegex, "", "is empty"},
      {Kind::kRegex, "a\\P{L}", "has \\P at byte 1, a class of characters by their Unicode"},
      {Kind::kRegex, "[\\p{Lu}]", "has \\p at byte 1"},
      {Kind::kRegex, "[a\\", "ends inside an escape"},
      {Kind::kRegex, "(a{1000}){1000}", "1000000 states"},
      {Kind::kRegex, std::string(70'000, 'a'), "70000 bytes long"},
      {Kind::kChoice, "", "is empty"},
      {Kind::kEbnf, "", "is empty"},
      {Kind::kEbnf, "root ::= ([a]{1000}){1000}", "states"},
      {Kind::kStructuralTag, "{", "is not JSON"},
      {Kind::kStructuralTag, "[]", "no object"},
      {Kind::kStructuralTag, R"({"type":"other","format":{}})", "no object of the type"},
      {Kind::kStructuralTag, "{}", "has no format"},
      {Kind::kStructuralTag, R"({"format":{}})", "without type"},
      {Kind::kStructuralTag, R"({"format":{"type":"token","token":3}})", "not supported"},
      {Kind::kStructuralTag, R"({"format":{"type":"sequence","elements":[]}})", "not empty"},
      {Kind::kStructuralTag, R"({"format":{"type":"tag","begin":"<a>","end":"</a>"}})", "content"},
      {Kind::kStructuralTag,
       R"({"format":{"type":"tag","begin":{"type":"token"},"end":"","content":{"type":"any_text"}}})",
       "begin"},
      {Kind::kStructuralTag, R"({"format":{"type":"json_schema","json_schema":{"maxItems":5000}}})",
       "maxItems 5000"},
      {Kind::kStructuralTag,
       R"({"format":{"type":"json_schema","json_schema":true,"max_whitespace_cnt":5000}})",
       "max_whitespace_cnt 5000"},
      {Kind::kStructuralTag,
       R"({"format":{"type":"json_schema","json_schema":true,"any_order":true}})", "not supported"},
      {Kind::kStructuralTag, R"({"format":{"type":"any_text","max_chars":9}})", "not supported"},
      {Kind::kStructuralTag, R"({"format":{"type":"regex","pattern":"("}})", "without its ')'"},
      {Kind::kStructuralTag, R"({"format":{"type":"grammar","grammar":"root ::= ("}})", "its ')'"},
      {Kind::kStructuralTag,
       R"({"format":{"type":"repeat","min":0,"max":5000,"content":{"type":"any_text"}}})",
       "max 5000"},
      {Kind::kStructuralTag,
       R"({"format":{"type":"repeat","min":0,"max":4000,"content":
           {"type":"regex","pattern":"a{4000}"}}})",
       "16000000 states"},
      {Kind::kStructuralTag, deep_tag, "deeper than"},
  };
  for (const Refusal& refusal : refusals) {
    const Status status =
        CheckGrammarSpec({.kind = refusal.kind, .source = refusal.source}, {}, "response_format");
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << refusal.source.substr(0, 40);
    EXPECT_EQ(status.field(), "response_format");
    EXPECT_THAT(status.message(), HasSubstr(refusal.says)) << refusal.source.substr(0, 40);
  }
}

TEST(CheckGrammarSpecTest, ManyObjectsCostNoMoreThanTheirText) {
  const auto make = [](int num_objects) {
    std::string schema = R"({"enum":[{})";
    for (int i = 0; i < num_objects; ++i) schema += ",{}";
    return schema + "]}";
  };
  const auto run = [](const std::string& schema) {
    EXPECT_TRUE(CheckGrammarSpec({.kind = Kind::kJsonSchema, .source = schema}, {}, "f").ok());
  };
  EXPECT_LT(testing::GrowthWithFourTimes(5'000, make, run), testing::kLinearGrowth);
}

TEST(CheckGrammarSpecTest, AcceptsWhatSchemaWritersAdd) {
  for (const char* schema :
       {R"({"$ref":"#/$defs/a","description":"d","default":{},"title":"t","$defs":{"a":{}}})",
        R"({"anyOf":[{"type":"integer"},{"type":"null"}],"default":null,"title":"Age"})",
        R"({"type":"object","anyOf":[{"type":"object"},{"type":"object"}]})",
        R"({"allOf":[{"$ref":"#/$defs/a"}],"description":"d","$defs":{"a":{"type":"integer"}}})",
        R"({"type":"string","enum":["a","b"],"title":"Kind"})", R"({"type":"integer","const":3.0})",
        R"({"type":["string","null"],"enum":["a",null]})",
        R"({"type":"object","properties":{"a":{}},"required":["a"]})",
        R"({"type":"string","pattern":"^[^\\s]+\\d{2}\\.[a-z]$"})",
        R"({"type":"number","minimum":0.1,"maximum":2.000001})",
        R"({"type":"number","exclusiveMaximum":1e300})"}) {
    const Status status =
        CheckGrammarSpec({.kind = Kind::kJsonSchema, .source = schema, .choices = {}}, {}, "f");
    EXPECT_TRUE(status.ok()) << schema << ": " << status;
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
