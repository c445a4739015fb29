#include "coordinator/core/tool_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using ::testing::HasSubstr;

class ToolChoiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto model = ServedModel::Load({.model_dir = testing::DemoModel()});
    ASSERT_TRUE(model.ok());
    model_ = *std::move(model);
    AddTool(
        R"({"name":"feed","parameters":{"type":"object","properties":{"n":{}},"required":["n"]}})");
    AddTool(R"({"name":"say \"it\""})");
  }

  void AddTool(const std::string& function) {
    request_.add_tools_json(R"({"type":"function","function":)" + function + "}");
  }
  Status Resolve() { return ResolveToolChoice(request_, *model_, {}, &out_); }
  nlohmann::json Format() const {
    return nlohmann::json::parse(out_.engine.grammar().source()).at("format");
  }

  std::unique_ptr<const ServedModel> model_;
  v1::ChatRequest request_;
  RequestParams out_;
};

TEST_F(ToolChoiceTest, TheModelDecidesWhereNothingIsAsked) {
  EXPECT_TRUE(Resolve().ok());
  EXPECT_FALSE(out_.engine.has_grammar());
}

TEST_F(ToolChoiceTest, WhichCallsCount) {
  const auto parsing = [this] {
    EXPECT_TRUE(Resolve().ok());
    return out_.tool_calls.parsing;
  };
  EXPECT_EQ(parsing(), ToolParsing::kAllCalls);
  request_.set_parallel_tool_calls(true);
  EXPECT_EQ(parsing(), ToolParsing::kAllCalls);
  request_.set_parallel_tool_calls(false);
  EXPECT_EQ(parsing(), ToolParsing::kFirstCall);
  request_.mutable_tool_choice()->set_none(true);
  EXPECT_EQ(parsing(), ToolParsing::kOff);
  EXPECT_FALSE(out_.engine.has_grammar());
  request_.mutable_sampling()->mutable_structured_outputs()->set_json_object(true);
  EXPECT_EQ(parsing(), ToolParsing::kOff);
  request_.clear_tools_json();
  EXPECT_EQ(parsing(), ToolParsing::kOff);
  request_.clear_tool_choice();
  EXPECT_EQ(parsing(), ToolParsing::kOff);
}

TEST_F(ToolChoiceTest, RequiredAllowsEveryToolAndSeveralCalls) {
  request_.mutable_tool_choice()->set_required(true);
  ASSERT_TRUE(Resolve().ok());
  EXPECT_EQ(out_.engine.grammar().kind(), internal::GRAMMAR_KIND_STRUCTURAL_TAG);
  EXPECT_EQ(Format().at("tags").size(), 2U);
  EXPECT_EQ(Format().at("stop_after_first"), false);
  const nlohmann::json feed = Format().at("tags")[0];
  EXPECT_EQ(feed.at("begin"), "<tool_call>\n{\"name\": \"feed\", \"arguments\": ");
  EXPECT_EQ(feed.at("content").at("json_schema").at("required"), nlohmann::json::array({"n"}));
  const nlohmann::json say = Format().at("tags")[1];
  EXPECT_EQ(say.at("begin"), "<tool_call>\n{\"name\": \"say \\\"it\\\"\", \"arguments\": ");
  EXPECT_EQ(say.at("content").at("json_schema"),
            nlohmann::json::parse(R"({"type":"object","properties":{}})"));
  request_.set_parallel_tool_calls(false);
  ASSERT_TRUE(Resolve().ok());
  EXPECT_EQ(Format().at("stop_after_first"), true);
}

TEST_F(ToolChoiceTest, ANamedFunctionIsCalledOnce) {
  // What is wrong with the others does not matter.
  AddTool(R"({"name":"walk","parameters":{"maxItems":-1}})");
  request_.mutable_tool_choice()->set_function("feed");
  ASSERT_TRUE(Resolve().ok());
  EXPECT_EQ(Format().at("tags").size(), 1U);
  EXPECT_EQ(Format().at("stop_after_first"), true);
}

TEST_F(ToolChoiceTest, RefusalsNameTheField) {
  request_.mutable_tool_choice();
  EXPECT_EQ(Resolve().field(), "tool_choice");
  request_.mutable_tool_choice()->set_required(false);
  EXPECT_EQ(Resolve().field(), "tool_choice.required");
  request_.mutable_tool_choice()->set_none(false);
  EXPECT_EQ(Resolve().field(), "tool_choice.none");
  request_.mutable_tool_choice()->set_function("walk");
  EXPECT_EQ(Resolve().field(), "tool_choice");
  EXPECT_THAT(Resolve().message(), HasSubstr("\"walk\""));
  request_.mutable_tool_choice()->set_required(true);
  request_.mutable_sampling()->set_ignore_eos(true);
  EXPECT_EQ(Resolve().field(), "sampling.ignore_eos");
  request_.mutable_sampling()->mutable_structured_outputs()->set_json_object(true);
  EXPECT_EQ(Resolve().field(), "tool_choice");
  request_.clear_sampling();
  AddTool(R"({"name":"f","parameters":{"maxItems":-1}})");
  EXPECT_EQ(Resolve().field(), "tools_json[2].function.parameters");
  request_.set_tools_json(2, "{}");
  EXPECT_EQ(Resolve().field(), "tools_json[2]");
  for (int i = 0; i < 64; ++i) AddTool(R"({"name":"f"})");
  EXPECT_EQ(Resolve().field(), "tools_json");
  request_.clear_tools_json();
  EXPECT_EQ(Resolve().field(), "tool_choice");
}

}  // namespace
}  // namespace phalanx
