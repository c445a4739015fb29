// What of a chat reaches the template.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "coordinator/core/prompt.h"
#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

class ChatPromptTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto file = dir_.path() / "template.jinja";
    std::ofstream(file) << "{% for m in messages %}{{ m.role }}:{{ m.name }}:"
                           "{{ m.reasoning_content }}:{{ m.content }};{% endfor %}{{ mood }}";
    auto model = ServedModel::Load({.model_dir = testing::DemoModel(), .chat_template = file});
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    v1::ChatMessage& message = *request_.add_messages();
    message.set_role("assistant");
    message.set_content("42");
  }

  std::string Render() {
    const StatusOr<Prompt> prompt = BuildPrompt(request_, *model_, {});
    return prompt.ok() ? prompt->text : prompt.status().field();
  }

  testing::TempDir dir_;
  std::unique_ptr<const ServedModel> model_;
  v1::ChatRequest request_;
};

TEST_F(ChatPromptTest, NameThinkingAndVariables) {
  EXPECT_EQ(Render(), "assistant:::42;");
  request_.mutable_messages(0)->set_name("ann");
  request_.mutable_messages(0)->set_reasoning_content("Hm.");
  request_.set_chat_template_kwargs_json(R"({"mood": "calm"})");
  EXPECT_EQ(Render(), "assistant:ann:Hm.:42;calm");
}

TEST_F(ChatPromptTest, VariablesAreAnObjectOfOthers) {
  for (const char* text :
       {"5", "[1]", "{", R"({"a":1,"a":2})", R"({"messages":[]})", R"({"tools":[]})",
        R"({"continue_final_message":true})", R"({"add_generation_prompt":true})",
        R"({"chat_template":"x"})", R"({"tokenize":false})"}) {
    request_.set_chat_template_kwargs_json(text);
    EXPECT_EQ(Render(), "chat_template_kwargs_json") << text;
  }
}

}  // namespace
}  // namespace phalanx
