#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "grammar/grammar.h"
#include "grammar/start_after.h"
#include "grammar/vocabulary.h"

namespace phalanx {
namespace {

using Kind = GrammarSpec::Kind;

// The demo model's tokenizer, with more ids than it has tokens, as padded embeddings have.
class MatchingTest : public testing::Test {
 protected:
  static constexpr int32_t kVocabSize = 2080;

  void SetUp() override {
    auto tokenizer = Tokenizer::Load(PHALANX_SOURCE_DIR "/launch/demo/model");
    ASSERT_TRUE(tokenizer.ok());
    tokenizer_ = *std::move(tokenizer);
    stop_ = *tokenizer_->TokenToId("<|im_end|>");
    auto compiler = CreateGrammarCompiler(MakeGrammarVocabulary(*tokenizer_, kVocabSize), {});
    ASSERT_TRUE(compiler.ok());
    compiler_ = *std::move(compiler);
  }

  std::unique_ptr<GrammarMatcher> Start(const GrammarSpec& spec) {
    auto grammar = compiler_->Compile(spec, "response_format");
    EXPECT_TRUE(grammar.ok()) << grammar.status();
    return grammar.ok() ? (*grammar)->NewMatcher(Stops()) : nullptr;
  }

  std::vector<int32_t> Stops() const { return {stop_}; }

  std::vector<int32_t> Allowed(GrammarMatcher& matcher) {
    std::vector<uint32_t> words(GrammarMaskWords(kVocabSize));
    std::vector<int32_t> ids;
    const bool everything = matcher.FillMask(words) == GrammarMatcher::Mask::kEverything;
    for (int32_t id = 0; id < kVocabSize; ++id) {
      if (everything || (words[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0) {
        ids.push_back(id);
      }
    }
    return ids;
  }

  // Whether the grammar takes the whole text, and may stop there.
  bool Takes(const GrammarSpec& spec, std::string_view text) {
    auto matcher = Start(spec);
    const std::vector<int32_t> ids = *tokenizer_->Encode(text);
    for (const int32_t id : ids) {
      const std::vector<int32_t> allowed = Allowed(*matcher);
      const bool masked = std::find(allowed.begin(), allowed.end(), id) == allowed.end();
      const bool accepted = matcher->Accept(id);
      EXPECT_EQ(accepted, !masked) << text << " at " << *tokenizer_->IdToToken(id);
      if (!accepted) return false;
    }
    return matcher->Accept(stop_) && matcher->finished();
  }

  // A random walk over what the masks allow.
  std::string Wander(const GrammarSpec& spec, uint32_t seed) {
    auto matcher = Start(spec);
    std::mt19937 random(seed);
    std::vector<int32_t> ids;
    for (int step = 0; step < 3000 && !matcher->finished(); ++step) {
      const std::vector<int32_t> allowed = Allowed(*matcher);
      if (allowed.empty()) {
        ADD_FAILURE() << "nothing is allowed";
        break;
      }
      const bool may_stop = std::find(allowed.begin(), allowed.end(), stop_) != allowed.end();
      const int32_t id = may_stop ? stop_ : allowed[random() % allowed.size()];
      EXPECT_TRUE(matcher->Accept(id));
      if (id != stop_) ids.push_back(id);
    }
    EXPECT_TRUE(matcher->finished()) << "3,000 tokens and no end";
    return *tokenizer_->Decode(ids);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  int32_t stop_ = 0;
  std::unique_ptr<GrammarCompiler> compiler_;
};

const char kPerson[] = R"({"type":"object","properties":{"name":{"type":"string","maxLength":12},
    "age":{"type":"integer","minimum":0,"maximum":150},"kind":{"enum":["cat","dog"]},
    "tags":{"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":3}},
    "required":["name","age","kind","tags"],"additionalProperties":false})";

// Bounds next to each other leave one number, or none: then the schema is refused.
TEST_F(MatchingTest, NarrowRangesHaveANumberOrAreRefused) {
  int refused = 0;
  for (const int begin : {-3, -1, 0, 1, 999'999}) {
    for (int width = 0; width <= 2; ++width) {
      for (const char* low : {"minimum", "exclusiveMinimum"}) {
        for (const char* high : {"maximum", "exclusiveMaximum"}) {
          const std::string schema = fmt::format(R"({{"type":"number","{}":{:.6f},"{}":{:.6f}}})",
                                                 low, begin * 1e-6, high, (begin + width) * 1e-6);
          const GrammarSpec spec{.kind = Kind::kJsonSchema, .source = schema, .choices = {}};
          const int numbers = width + 1 - (low[0] == 'e' ? 1 : 0) - (high[0] == 'e' ? 1 : 0);
          EXPECT_EQ(compiler_->Compile(spec, "f").ok(), numbers > 0) << schema;
          if (numbers > 0) {
            EXPECT_NE(Wander(spec, 1), "") << schema;
          } else {
            ++refused;
          }
        }
      }
    }
  }
  EXPECT_EQ(refused, 5 * 4);
}

TEST_F(MatchingTest, SchemaTakesWhatFitsAndNothingElse) {
  const GrammarSpec spec = {.kind = Kind::kJsonSchema, .source = kPerson};
  EXPECT_TRUE(Takes(spec, R"({"name": "Ann", "age": 7, "kind": "cat", "tags": [true]})"));
  EXPECT_TRUE(Takes(spec, R"({"name":"Ann","age":7,"kind":"dog","tags":[true,false]})"));
  EXPECT_FALSE(Takes(spec, R"({"name": "Ann", "age": 7, "kind": "cow", "tags": [true]})"));
  EXPECT_FALSE(Takes(spec, R"({"name": "Ann", "age": 200, "kind": "cat", "tags": [true]})"));
  EXPECT_FALSE(Takes(spec, R"({"name": "Ann", "age": 7, "kind": "cat", "tags": []})"));
  EXPECT_FALSE(Takes(spec, R"({"name": "Ann", "age": 7)"));
  EXPECT_FALSE(Takes(spec, "Sure! {"));
}

TEST_F(MatchingTest, WhateverTheMasksAllowFitsTheSchema) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    const std::string text = Wander({.kind = Kind::kJsonSchema, .source = kPerson}, seed);
    const auto person = nlohmann::json::parse(text, nullptr, false);
    ASSERT_TRUE(person.is_object()) << text;
    EXPECT_EQ(person.size(), 4) << text;
    EXPECT_LE(person.at("age").get<int>(), 150);
    EXPECT_TRUE(person.at("kind") == "cat" || person.at("kind") == "dog");
    EXPECT_THAT(person.at("tags").size(), testing::AllOf(testing::Ge(1U), testing::Le(3U)));
  }
}

TEST_F(MatchingTest, JsonObjectIsAnObject) {
  const GrammarSpec spec = {.kind = Kind::kJsonObject};
  EXPECT_TRUE(Takes(spec, R"({"a": [1, {"b": null}], "c": "d"})"));
  EXPECT_TRUE(Takes(spec, "{}"));
  EXPECT_FALSE(Takes(spec, "[1]"));
  EXPECT_FALSE(Takes(spec, "\"a\""));
}

TEST_F(MatchingTest, RegularExpressionMatchesTheWholeText) {
  const GrammarSpec spec = {.kind = Kind::kRegex, .source = R"(\d{4}-\d{2}(-\d{2})?)"};
  EXPECT_TRUE(Takes(spec, "2024-05"));
  EXPECT_TRUE(Takes(spec, "2024-05-17"));
  EXPECT_FALSE(Takes(spec, "2024-5"));
  EXPECT_FALSE(Takes(spec, "2024-05-17 "));
}

TEST_F(MatchingTest, ChoiceIsLiteral) {
  const std::vector<std::string> choices = {"yes", "no", "a\"b\\c\nd", "Zürich 🙂", "a|b.*"};
  const GrammarSpec spec = {.kind = Kind::kChoice, .source = {}, .choices = choices};
  for (const std::string& choice : choices) EXPECT_TRUE(Takes(spec, choice)) << choice;
  EXPECT_FALSE(Takes(spec, "maybe"));
  EXPECT_FALSE(Takes(spec, "yesno"));
  for (uint32_t seed = 0; seed < 10; ++seed) {
    EXPECT_THAT(choices, testing::Contains(Wander(spec, seed)));
  }
}

TEST_F(MatchingTest, EbnfIsAGrammarWithRules) {
  const GrammarSpec spec = {.kind = Kind::kEbnf, .source = R"ebnf(
      root ::= sum "=" number  # nested as deep as one likes
      sum ::= term ("+" term)*
      term ::= number | "(" sum ")"
      number ::= [0-9]{1,3}
  )ebnf"};
  EXPECT_TRUE(Takes(spec, "1+2=3"));
  EXPECT_TRUE(Takes(spec, "(1+(20+300))+4=325"));
  EXPECT_FALSE(Takes(spec, "1+=3"));
  EXPECT_FALSE(Takes(spec, "(1+2=3"));
  EXPECT_FALSE(Takes(spec, "1234=3"));
}

TEST_F(MatchingTest, AGrammarMayStartAfterAToken) {
  const int32_t end = *tokenizer_->TokenToId("</tool_call>");
  auto compiled = compiler_->Compile({.kind = Kind::kRegex, .source = "ab"}, "f");
  ASSERT_TRUE(compiled.ok());
  const auto matcher = StartAfter(end, *compiled)->NewMatcher(Stops());
  EXPECT_EQ(Allowed(*matcher).size(), static_cast<size_t>(kVocabSize));
  const std::vector<int32_t> before = *tokenizer_->Encode("zab");
  for (const int32_t id : before) EXPECT_TRUE(matcher->Accept(id));
  EXPECT_FALSE(matcher->finished());
  EXPECT_TRUE(matcher->Accept(end));
  EXPECT_FALSE(matcher->Accept((*tokenizer_->Encode("z"))[0]));
  EXPECT_LT(Allowed(*matcher).size(), 3U);
  const std::vector<int32_t> behind = *tokenizer_->Encode("ab");
  for (const int32_t id : behind) EXPECT_TRUE(matcher->Accept(id));
  EXPECT_TRUE(matcher->Accept(stop_));
  EXPECT_TRUE(matcher->finished());
}

TEST_F(MatchingTest, FreeTextWithTriggeredTags) {
  const GrammarSpec spec = {.kind = Kind::kStructuralTag, .source = R"({"type": "structural_tag",
      "format": {"type": "triggered_tags", "triggers": ["<n>"], "tags": [
        {"begin": "<n>", "end": "</n>", "content": {"type": "json_schema",
         "json_schema": {"type": "integer"}}}]}})"};
  EXPECT_TRUE(Takes(spec, "No tag,\ta tab."));
  EXPECT_TRUE(Takes(spec, "One <n>12</n> and <n>-3</n>."));
  EXPECT_FALSE(Takes(spec, "One <n>twelve</n>."));
}

// Rules that refer to each other are no way to more states than are counted.
TEST_F(MatchingTest, RulesOfRulesStayWithinTheTime) {
  std::string grammar = "root ::= r8\nr0 ::= \"a\"\n";
  for (int i = 1; i <= 8; ++i) grammar += fmt::format("r{} ::= r{}{{100}}\n", i, i - 1);
  const auto begin = std::chrono::steady_clock::now();
  const auto compiled = compiler_->Compile({.kind = Kind::kEbnf, .source = grammar}, "grammar");
  compiler_.reset();  // waits for what goes on
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST_F(MatchingTest, StructuralTagHoldsTheTextBetweenItsMarks) {
  const GrammarSpec spec = {.kind = Kind::kStructuralTag, .source = R"({"type": "structural_tag",
      "format": {"type": "tags_with_separator", "separator": "\n", "at_least_one": true, "tags": [
        {"begin": "<tool_call>\n{\"name\": \"add\", \"arguments\": ", "end": "}\n</tool_call>",
         "content": {"type": "json_schema", "json_schema": {"type": "object",
             "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}]}})"};
  const std::string call =
      "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 3}}\n</tool_call>";
  EXPECT_TRUE(Takes(spec, call));
  EXPECT_TRUE(Takes(spec, call + "\n" + call));
  EXPECT_FALSE(Takes(spec, "The answer is " + call));
  const std::string wide = std::string(40, ' ');
  EXPECT_FALSE(Takes(spec, "<tool_call>\n{\"name\": \"add\", \"arguments\": {" + wide +
                               "\"a\": 3}}\n</tool_call>"));
  EXPECT_FALSE(Takes(spec, ""));
}

TEST_F(MatchingTest, SpecialAndUnusedIdsAreNeverAllowed) {
  auto matcher = Start({.kind = Kind::kRegex, .source = ".*"});
  for (const int32_t id : Allowed(*matcher)) {
    EXPECT_LT(id, tokenizer_->vocab_size());
    EXPECT_TRUE(id == stop_ || !tokenizer_->IsSpecial(id)) << id;
  }
}

TEST_F(MatchingTest, RefusesWhatItCannotHold) {
  const std::map<std::string, Kind> refused = {
      {R"({"type":"text"})", Kind::kJsonSchema},
      {R"({"type":"integer","not":{"const":3}})", Kind::kJsonSchema},
      {R"({"type":"array","uniqueItems":true})", Kind::kJsonSchema},
      {R"({"$ref":"#/$defs/missing"})", Kind::kJsonSchema},
      {"a(?<!b)", Kind::kRegex},
      {"*", Kind::kRegex},
      {"start: \"a\"", Kind::kEbnf},
      {"a ::= \"a\"", Kind::kEbnf},
      {"root ::= missing", Kind::kEbnf},
      {R"({"format":{"type":"tag","begin":"","end":"","content":{"type":"any_text"}}})",
       Kind::kStructuralTag},
  };
  for (const auto& [source, kind] : refused) {
    const auto grammar = compiler_->Compile({.kind = kind, .source = source}, "response_format");
    ASSERT_FALSE(grammar.ok()) << source;
    EXPECT_EQ(grammar.status().code(), StatusCode::kInvalidArgument) << source;
    EXPECT_EQ(grammar.status().field(), "response_format");
  }
}

TEST_F(MatchingTest, SecondCompilationIsTheFirst) {
  const GrammarSpec spec = {.kind = Kind::kJsonSchema, .source = kPerson};
  EXPECT_EQ(*compiler_->Compile(spec, "f"), *compiler_->Compile(spec, "f"));
}

TEST_F(MatchingTest, MatchersOfOneGrammarAreApart) {
  auto grammar =
      compiler_->Compile({.kind = Kind::kChoice, .source = {}, .choices = {"ab", "cd"}}, "f");
  auto a = (*grammar)->NewMatcher(Stops());
  auto b = (*grammar)->NewMatcher(Stops());
  EXPECT_TRUE(a->Accept((*tokenizer_->Encode("a"))[0]));
  EXPECT_TRUE(b->Accept((*tokenizer_->Encode("c"))[0]));
  EXPECT_FALSE(a->Accept((*tokenizer_->Encode("d"))[0]));
  EXPECT_TRUE(a->Accept((*tokenizer_->Encode("b"))[0]));
}

}  // namespace
}  // namespace phalanx
