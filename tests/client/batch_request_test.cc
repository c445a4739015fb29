#include "client/batch_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phalanx {
namespace {

StatusOr<BatchRequest> Parse(const char* line) {
  v1::SamplingParams defaults;
  defaults.set_temperature(0.5f);
  defaults.set_max_tokens(9);
  return ParseBatchRequest(nlohmann::json::parse(line, nullptr, false), defaults);
}

TEST(BatchRequestTest, PromptWithParameters) {
  const auto parsed = Parse(R"({"id": 1, "prompt": "Hi", "temperature": 0, "stop": ["x"],
                                "logit_bias": {"3": -1.5}, "seed": 18446744073709551615})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto& request = std::get<v1::GenerateRequest>(*parsed);
  EXPECT_EQ(request.text(), "Hi");
  EXPECT_EQ(request.sampling().temperature(), 0.0f);
  EXPECT_TRUE(request.sampling().has_temperature());
  EXPECT_EQ(request.sampling().max_tokens(), 9);  // from the defaults
  EXPECT_THAT(request.sampling().stop(), testing::ElementsAre("x"));
  EXPECT_EQ(request.sampling().logit_bias().at(3), -1.5f);
  EXPECT_EQ(request.sampling().seed(), UINT64_MAX);
}

TEST(BatchRequestTest, MessagesWithTools) {
  const auto parsed = Parse(R"({"messages": [{"role": "user", "content": "Hi"},
      {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]},
      {"role": "tool", "content": "2", "tool_call_id": "c1"}],
      "tools": [{"type": "function"}], "add_generation_prompt": false})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto& request = std::get<v1::ChatRequest>(*parsed);
  ASSERT_EQ(request.messages_size(), 3);
  EXPECT_EQ(request.messages(1).tool_calls(0).name(), "f");
  EXPECT_EQ(request.messages(1).tool_calls(0).arguments_json(), R"({"x":1})");
  EXPECT_EQ(request.messages(2).tool_call_id(), "c1");
  EXPECT_EQ(request.tools_json(0), R"({"type":"function"})");
  EXPECT_TRUE(request.has_add_generation_prompt());
}

TEST(BatchRequestTest, WhatTheTemplateShowsAndWhichToolIsCalled) {
  const auto parsed = Parse(R"({"messages": [{"role": "user", "content": "Hi", "name": "ann"},
      {"role": "assistant", "content": "a", "reasoning_content": "b"}],
      "tools": [{"type": "function"}], "tool_choice": {"type": "function", "function": {"name": "f"}},
      "parallel_tool_calls": false, "chat_template_kwargs": {"x": 1}})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto& request = std::get<v1::ChatRequest>(*parsed);
  EXPECT_EQ(request.messages(0).name(), "ann");
  EXPECT_EQ(request.messages(1).reasoning_content(), "b");
  EXPECT_EQ(request.tool_choice().function(), "f");
  EXPECT_TRUE(request.has_parallel_tool_calls());
  EXPECT_FALSE(request.parallel_tool_calls());
  EXPECT_EQ(request.chat_template_kwargs_json(), R"({"x":1})");
  const auto none = Parse(R"({"messages": [], "tool_choice": "none"})");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(std::get<v1::ChatRequest>(*none).tool_choice().none());
}

TEST(BatchRequestTest, RefusesWithTheFieldsName) {
  const std::pair<const char*, const char*> table[] = {
      {R"({"prompt": "a", "temprature": 1})", "temprature"},
      {R"({"prompt": "a", "temperature": "hot"})", "temperature"},
      {R"({"prompt": "a", "max_tokens": 1.5})", "max_tokens"},
      {R"({"prompt": "a", "max_tokens": 3000000000})", "max_tokens"},
      {R"({"prompt": "a", "seed": -1})", "seed"},
      {R"({"prompt": "a", "priority": 3000000000})", "priority"},
      {R"({"prompt": "a", "temperature": 1e300})", "temperature"},
      {R"({"prompt": "a", "logit_bias": {"1": -1e300}})", "logit_bias"},
      {R"({"prompt_ids": [18446744073709551615]})", "prompt_ids"},
      {R"({"prompt": "a", "ignore_eos": 1})", "ignore_eos"},
      {R"({"prompt": "a", "stop": [1]})", "stop"},
      {R"({"prompt": "a", "logit_bias": {"x": 1}})", "logit_bias"},
      {R"({"prompt": 3})", "prompt"},
      {R"({"prompt_ids": ["a"]})", "prompt_ids"},
      {R"({"prompt": "a", "prompt_ids": [1]})", "prompt"},
      {R"({"temperature": 1})", "prompt"},
      {R"({"messages": "hi"})", "messages"},
      {R"({"messages": [{"role": 1}]})", "messages.role"},
      {R"({"messages": [{"role": "user", "colour": "red"}]})", "messages.colour"},
      {R"({"messages": [], "tool_choice": "any"})", "tool_choice"},
      {R"({"messages": [], "tool_choice": 5})", "tool_choice"},
      {R"({"messages": [], "tool_choice": {"type": "function"}})", "tool_choice"},
      {R"({"messages": [], "parallel_tool_calls": 1})", "parallel_tool_calls"},
      {R"({"messages": [], "chat_template_kwargs": []})", "chat_template_kwargs"},
  };
  for (const auto& [line, field] : table) {
    const auto parsed = Parse(line);
    ASSERT_FALSE(parsed.ok()) << line;
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument) << line;
    EXPECT_EQ(parsed.status().field(), field) << line;
  }
  EXPECT_FALSE(Parse("[1]").ok());
  EXPECT_FALSE(Parse("{").ok());
}

}  // namespace
}  // namespace phalanx
