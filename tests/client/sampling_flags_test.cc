#include "client/sampling_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

namespace phalanx {
namespace {

v1::SamplingParams Parse(std::vector<std::string> arguments) {
  CLI::App app;
  v1::SamplingParams params;
  AddSamplingFlags(app, params);
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  app.parse(arguments);
  return params;
}

TEST(SamplingFlagsTest, NothingGivenIsNothingSet) { EXPECT_EQ(Parse({}).ByteSizeLong(), 0u); }

TEST(SamplingFlagsTest, EveryFieldHasAFlag) {
  const v1::SamplingParams params = Parse({"--temperature",
                                           "0",
                                           "--top-k",
                                           "-1",
                                           "--top-p",
                                           "0.5",
                                           "--min-p",
                                           "0.1",
                                           "--presence-penalty",
                                           "-2",
                                           "--frequency-penalty",
                                           "2",
                                           "--repetition-penalty",
                                           "1.5",
                                           "--logit-bias",
                                           "5=-100",
                                           "--logit-bias",
                                           "6:2.5",
                                           "--allowed-token-ids",
                                           "1,2,3",
                                           "--bad-words",
                                           "a",
                                           "--bad-words",
                                           "b c",
                                           "--seed",
                                           "18446744073709551615",
                                           "--n",
                                           "2",
                                           "--max-tokens",
                                           "7",
                                           "--min-tokens",
                                           "1",
                                           "--stop",
                                           "x,y",
                                           "--stop",
                                           "z",
                                           "--stop-token-ids",
                                           "9",
                                           "--ignore-eos",
                                           "--include-stop-str-in-output",
                                           "--no-skip-special-tokens",
                                           "--logprobs",
                                           "0",
                                           "--prompt-logprobs",
                                           "3",
                                           "--choice",
                                           "yes",
                                           "--choice",
                                           "no, thanks",
                                           "--echo"});
  const auto& message = *v1::SamplingParams::descriptor();
  std::vector<const google::protobuf::FieldDescriptor*> set;
  params.GetReflection()->ListFields(params, &set);
  EXPECT_EQ(static_cast<int>(set.size()), message.field_count());
  EXPECT_TRUE(params.has_temperature());
  EXPECT_EQ(params.temperature(), 0.0f);
  EXPECT_EQ(params.top_k(), -1);
  EXPECT_EQ(params.logit_bias().at(5), -100.0f);
  EXPECT_EQ(params.logit_bias().at(6), 2.5f);
  EXPECT_THAT(params.allowed_token_ids(), testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(params.bad_words(), testing::ElementsAre("a", "b c"));
  EXPECT_THAT(params.stop(), testing::ElementsAre("x,y", "z"));
  EXPECT_EQ(params.seed(), UINT64_MAX);
  EXPECT_TRUE(params.ignore_eos());
  EXPECT_FALSE(params.skip_special_tokens());
  EXPECT_TRUE(params.has_logprobs());
  EXPECT_THAT(params.structured_outputs().choice().choices(),
              testing::ElementsAre("yes", "no, thanks"));
}

TEST(SamplingFlagsTest, StructuredOutputs) {
  EXPECT_EQ(Parse({"--regex", "a+"}).structured_outputs().regex(), "a+");
  EXPECT_TRUE(Parse({"--json-object"}).structured_outputs().json_object());
  const std::string config = PHALANX_SOURCE_DIR "/launch/demo/model/config.json";
  EXPECT_THAT(Parse({"--json-schema", config}).structured_outputs().json_schema(),
              testing::HasSubstr("Qwen2ForCausalLM"));
  EXPECT_THAT(Parse({"--grammar", config}).structured_outputs().grammar(),
              testing::HasSubstr("Qwen2ForCausalLM"));
  EXPECT_THAT(Parse({"--structural-tag", config}).structured_outputs().structural_tag(),
              testing::HasSubstr("Qwen2ForCausalLM"));
  EXPECT_THROW(Parse({"--json-schema", "/nowhere"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--grammar", config, "--json-object"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--regex", "a", "--choice", "b"}), CLI::ParseError);
}

TEST(SamplingFlagsTest, StructuredOutputsAsJson) {
  const auto set = [](const char* json) {
    v1::SamplingParams params;
    const Status status =
        SetSamplingParam("structured_outputs", nlohmann::json::parse(json), params);
    return status.ok() ? params.structured_outputs().ShortDebugString() : status.field();
  };
  EXPECT_EQ(set(R"({"json":{"type":"object"}})"), R"(json_schema: "{\"type\":\"object\"}")");
  EXPECT_EQ(set(R"({"json_object":true})"), "json_object: true");
  EXPECT_EQ(set(R"({"regex":"a"})"), R"(regex: "a")");
  EXPECT_EQ(set(R"({"choice":["a","b"]})"), R"(choice { choices: "a" choices: "b" })");
  EXPECT_EQ(set(R"({"regex":5})"), "structured_outputs.regex");
  EXPECT_EQ(set(R"({"choice":[5]})"), "structured_outputs.choice");
  EXPECT_EQ(set(R"({"grammar":"x"})"), R"(grammar: "x")");
  EXPECT_EQ(set(R"({"structural_tag":{"format":1}})"), R"(structural_tag: "{\"format\":1}")");
  EXPECT_EQ(set(R"({"grammar":5})"), "structured_outputs.grammar");
  EXPECT_EQ(set(R"({"structural_tag":5})"), "structured_outputs.structural_tag");
  EXPECT_EQ(set(R"({"lark":"x"})"), "structured_outputs.lark");
  EXPECT_EQ(set(R"({"regex":"a","choice":["b"]})"), "structured_outputs");
  EXPECT_EQ(set("5"), "structured_outputs");
}

TEST(SamplingFlagsTest, WrongValuesAreRefused) {
  EXPECT_THROW(Parse({"--top-p", "much"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--max-tokens", "1.5"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--max-tokens", "3000000000"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--stop-token-ids", "1,x"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--logit-bias", "5"}), CLI::ParseError);
  EXPECT_THROW(Parse({"--logit-bias", "5=x"}), CLI::ParseError);
}

TEST(SamplingFlagsTest, TokenIds) {
  EXPECT_EQ(*ParseTokenIds("1,2, 3\n4", "ids"), (std::vector<int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(ParseTokenIds("", "ids")->size(), 0u);
  EXPECT_EQ(ParseTokenIds("99999999999", "ids").status().field(), "ids");
  EXPECT_EQ(ParseTokenIds("1;2", "ids").status().field(), "ids");
}

}  // namespace
}  // namespace phalanx
