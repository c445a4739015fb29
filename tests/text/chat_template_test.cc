#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/text/chat_request_json.h"
#include "tests/text/golden_files.h"
#include "text/jinja/json_value.h"
#include "text/python_float.h"

namespace phalanx {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
using testing::ChatRequestFromJson;
using testing::ReadFile;
using testing::ReadGoldens;
using testing::SharedDir;
using testing::SourceDir;
using testing::TemporaryFolder;

constexpr const char* kQwenSystem =
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";

constexpr const char* kDeepSeek = "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja";

std::string WithoutPart(std::string text, std::string_view part) {
  const size_t at = text.find(part);
  EXPECT_NE(at, std::string::npos) << part;
  return text.erase(at, part.size());
}

// The template that a row of chats.jsonl was rendered with; nullptr where it is not there.
std::unique_ptr<ChatTemplate> TemplateByName(const std::string& name) {
  if (name == "qwen2.5") {
    return MakeChatTemplate(ReadFile(SourceDir() / "launch/demo/chat_template.jinja"), "");
  }
  if (name == "chatml") {
    const auto folder = SharedDir() / "qwen2/tokenizer";
    if (!std::filesystem::exists(folder)) return nullptr;
    return *LoadChatTemplate(folder);
  }
  const auto file = SharedDir() / "chat-templates" / kDeepSeek;
  if (!std::filesystem::exists(file)) return nullptr;
  std::string text = ReadFile(file);
  // The form in which the smaller distilled models were first published.
  if (name == "deepseek-r1-early") text = WithoutPart(std::move(text), "<think>\\n");
  return MakeChatTemplate(text, "<bos>");
}

class PublishedChatsTest : public ::testing::TestWithParam<const char*> {};

TEST_P(PublishedChatsTest, RenderAsTransformersDoes) {
  const auto chat_template = TemplateByName(GetParam());
  if (chat_template == nullptr) GTEST_SKIP() << SharedDir() << " has no template " << GetParam();
  int count = 0;
  for (const Json& row : ReadGoldens("chats.jsonl")) {
    if (row["template"] != GetParam()) continue;
    ++count;
    const auto text = chat_template->Render(ChatRequestFromJson(row));
    ASSERT_TRUE(text.ok()) << text.status() << row.dump();
    EXPECT_EQ(*text, row["rendered"].get<std::string>()) << row.dump();
  }
  EXPECT_GE(count, 50);
}

INSTANTIATE_TEST_SUITE_P(All, PublishedChatsTest,
                         ::testing::Values("qwen2.5", "chatml", "deepseek-r1",
                                           "deepseek-r1-early"));

ChatMessage Message(const std::string& role, std::optional<std::string> content) {
  ChatMessage message;
  message.role = role;
  message.content = std::move(content);
  return message;
}

ChatRequest OneQuestion() {
  ChatRequest request;
  request.messages.push_back(Message("user", "Hi"));
  return request;
}

ChatRequest WithTool(ChatRequest request) {
  request.tools.push_back(R"({"type": "function", "function": {"name": "f"}})");
  return request;
}

TEST(ChatTemplateTest, RendersTheDemoModelsTemplate) {
  const auto chat_template =
      MakeChatTemplate(ReadFile(SourceDir() / "launch/demo/chat_template.jinja"), "");
  EXPECT_EQ(chat_template->name(), "jinja");
  EXPECT_EQ(*chat_template->Render(OneQuestion()),
            std::string("<|im_start|>system\n") + kQwenSystem +
                "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplateTest, ShowsTheTemplateEverythingOfARequest) {
  const auto chat_template = MakeChatTemplate(
      "{{ messages | tojson }} {{ tools | tojson }} {{ add_generation_prompt }} {{ documents }} "
      "{{ enable_thinking }} {{ eos_token }}",
      TemplateTokens{{"eos_token", "</s>"}});
  ChatRequest request = WithTool(OneQuestion());
  request.messages.push_back(Message("assistant", std::nullopt));
  request.messages[1].reasoning_content = "hm";
  request.messages[1].tool_calls.push_back({"id1", "function", "f", R"({"n": 1e2, "a": []})"});
  request.messages.push_back(Message("tool", "42"));
  request.messages[2].tool_call_id = "id1";
  request.messages[2].name = "f";
  request.generation_prompt = GenerationPrompt::kOmit;
  request.variables = R"({"enable_thinking": false, "messages": 1})";
  EXPECT_EQ(
      *chat_template->Render(request),
      R"([{"role": "user", "content": "Hi"}, )"
      R"({"thinking": "hm", "role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": )"
      R"([{"id": "id1", "type": "function", "function": )"
      R"({"name": "f", "arguments": {"n": 100.0, "a": []}}}]}, )"
      R"({"role": "tool", "content": "42", "name": "f", "tool_call_id": "id1"}] )"
      R"([{"type": "function", "function": {"name": "f"}}] False None False </s>)");
  request = OneQuestion();
  EXPECT_THAT(*chat_template->Render(request), HasSubstr("null True None  </s>"));
}

TEST(ChatTemplateTest, GivesArgumentsAsTextWhereTheyAreJoinedToText) {
  const auto chat_template =
      MakeChatTemplate("{{ '<' + messages[0].tool_calls[0]['function']['arguments'] + '>' }}", "");
  ChatRequest request = OneQuestion();
  request.messages[0].tool_calls.push_back({"", "function", "f", R"({"a":1})"});
  EXPECT_EQ(*chat_template->Render(request), R"(<{"a":1}>)");
}

TEST(ChatTemplateTest, TemplatesThatCannotBeParsedLoadAndSayWhy) {
  const auto chat_template = MakeChatTemplate("a\n{% if %}", "");
  EXPECT_EQ(chat_template->name(), "unusable");
  const auto status = chat_template->Render(OneQuestion()).status();
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("line 2"));
}

TEST(ChatTemplateTest, FindsTheTemplateInEachPlace) {
  const TemporaryFolder folder;
  const auto rendered = [&](const ChatRequest& request) {
    return *(*LoadChatTemplate(folder.path()))->Render(request);
  };
  EXPECT_EQ((*LoadChatTemplate(folder.path()))->name(), "none");
  folder.Write("chat_template.json", Json{{"chat_template", "processor"}}.dump());
  EXPECT_EQ(rendered(OneQuestion()), "processor");
  const Json named = {{{"name", "tool_use"}, {"template", "tools {{ bos_token }}"}},
                      {{"name", "default"}, {"template", "default {{ eos_token }}"}}};
  folder.Write("tokenizer_config.json",
               Json{{"chat_template", named}, {"bos_token", {{"content", "<s>"}}}}.dump());
  folder.Write("special_tokens_map.json", R"({"bos_token": "no", "eos_token": "</s>"})");
  EXPECT_EQ(rendered(OneQuestion()), "default </s>");
  EXPECT_EQ(rendered(WithTool(OneQuestion())), "tools <s>");
  folder.Write("chat_template.jinja", "file");
  EXPECT_EQ(rendered(WithTool(OneQuestion())), "file");
  std::filesystem::create_directory(folder.path() / "additional_chat_templates");
  folder.Write("additional_chat_templates/tool_use.jinja", "additional");
  EXPECT_EQ(rendered(WithTool(OneQuestion())), "additional");
  EXPECT_EQ(rendered(OneQuestion()), "file");
}

TEST(ChatTemplateTest, RefusesBrokenFiles) {
  const TemporaryFolder folder;
  folder.Write("tokenizer_config.json", R"({"chat_template": 7})");
  EXPECT_THAT(LoadChatTemplate(folder.path()).status().message(), HasSubstr("chat_template: is 7"));
  folder.Write("tokenizer_config.json", R"({"chat_template": [{"name": "x", "template": ""}]})");
  EXPECT_THAT(LoadChatTemplate(folder.path()).status().message(), HasSubstr("default"));
  folder.Write("tokenizer_config.json", "{");
  EXPECT_EQ(LoadChatTemplate(folder.path()).status().code(), StatusCode::kInvalidArgument);
}

TEST(ChatTemplateTest, NamesTheFieldThatItCannotTake) {
  const auto chat_template = MakeChatTemplate(
      "{% if messages[0].content == 'no' %}{{ raise_exception('not so') }}"
      "{% endif %}{{ messages[1].tool_calls }}",
      "");
  const auto field_of = [&](const ChatRequest& request) {
    return chat_template->Render(request).status().field();
  };
  ChatRequest request = OneQuestion();
  request.messages.push_back(Message("assistant", std::nullopt));
  EXPECT_EQ(field_of(request), "messages[1].content");
  request.messages[1].tool_calls.resize(1);
  request.messages[1].tool_calls[0].arguments = "{";
  EXPECT_EQ(field_of(request), "messages[1].tool_calls[0].function.arguments");
  request = OneQuestion();
  request.tools = {"{}", "nope"};
  EXPECT_EQ(field_of(request), "tools[1]");
  EXPECT_EQ(field_of({}), "messages");
  request = OneQuestion();
  request.variables = "[]";
  EXPECT_EQ(field_of(request), "chat_template_kwargs");
  request = OneQuestion();
  request.messages[0].content = "\xFF";
  EXPECT_EQ(field_of(request), "messages[0].content");
  request.messages[0].content = "no";
  EXPECT_EQ(field_of(request), "messages");
  EXPECT_THAT(chat_template->Render(request).status().message(),
              HasSubstr("line 1: raised by the template: not so"));
}

TEST(PythonFloatTest, WritesWhatPythonWrites) {
  EXPECT_EQ(PythonFloat(1e16), "1e+16");
  EXPECT_EQ(PythonFloat(1e15), "1000000000000000.0");
  EXPECT_EQ(PythonFloat(1e-4), "0.0001");
  EXPECT_EQ(PythonFloat(-1.5e-5), "-1.5e-05");
  EXPECT_EQ(PythonFloat(5e-324), "5e-324");
  EXPECT_EQ(PythonFloat(-0.0), "-0.0");
  EXPECT_EQ(PythonFloat(123.456), "123.456");
}

TEST(JsonValueTest, RefusesWhatIsNoPlainJson) {
  for (const std::string& text :
       {std::string(""), std::string("{"), std::string("NaN"), std::string("\"\xFF\""),
        std::string("\"\\ud800\""), std::string("1 2"), std::string(65, '[') + std::string(65, ']'),
        std::string(1 << 20, '['), std::string(5000, '1')}) {
    EXPECT_EQ(jinja::ValueFromJson("f", text).status().field(), "f");
  }
  EXPECT_THAT(jinja::ValueFromJson("f", R"({"a": 1, "a": 2})").status().message(),
              HasSubstr("'a' twice"));
}

}  // namespace
}  // namespace phalanx
