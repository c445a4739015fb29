#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/text/chat_request_json.h"
#include "tests/text/golden_files.h"
#include "text/chat_renderers.h"
#include "text/python_json.h"

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

StatusOr<std::string> RenderByName(const std::string& name, const ChatRequest& request) {
  if (name == "qwen2.5") return RenderQwen25(request, kQwenSystem);
  if (name == "chatml") return RenderChatMl(request, "You are a helpful assistant");
  return RenderDeepSeekR1(
      request, {.bos_token = "<bos>",
                .generation_prompt =
                    name == "deepseek-r1" ? "<｜Assistant｜><think>\n" : "<｜Assistant｜>"});
}

TEST(ChatTemplateTest, RenderersEqualTransformers) {
  for (const Json& row : ReadGoldens("chats.jsonl")) {
    const auto text = RenderByName(row["template"], ChatRequestFromJson(row));
    ASSERT_TRUE(text.ok()) << text.status() << row.dump();
    EXPECT_EQ(*text, row["rendered"].get<std::string>()) << row.dump();
  }
}

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

TEST(ChatTemplateTest, RecognisesTheDemoModelsTemplate) {
  const auto chat_template =
      MakeChatTemplate(ReadFile(SourceDir() / "launch/demo/chat_template.jinja"), "");
  EXPECT_EQ(chat_template->name(), "qwen2.5");
  EXPECT_EQ(*chat_template->Render(OneQuestion()),
            std::string("<|im_start|>system\n") + kQwenSystem +
                "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplateTest, FindsAnotherDefaultSystemMessage) {
  std::string text = ReadFile(SourceDir() / "launch/demo/chat_template.jinja");
  for (size_t at; (at = text.find(kQwenSystem)) != std::string::npos;) {
    text.replace(at, std::string_view(kQwenSystem).size(), R"(It\'s \\boxed{}.)");
  }
  const auto chat_template = MakeChatTemplate(text, "");
  EXPECT_EQ(chat_template->name(), "qwen2.5");
  EXPECT_THAT(*chat_template->Render(OneQuestion()),
              HasSubstr("system\nIt's \\boxed{}.<|im_end|>"));
}

TEST(ChatTemplateTest, RecognisesPublishedTemplates) {
  const auto folder = SharedDir() / "chat-templates";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const auto name_of = [&](const char* file) {
    return std::string(MakeChatTemplate(ReadFile(folder / file), "")->name());
  };
  EXPECT_EQ(name_of("Qwen-Qwen2.5-7B-Instruct.jinja"), "qwen2.5");
  EXPECT_EQ(name_of("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja"), "deepseek-r1");
  EXPECT_EQ(name_of("Qwen-Qwen3-nonthinking.jinja"), "unknown");
  EXPECT_EQ((*LoadChatTemplate(SharedDir() / "qwen2/tokenizer"))->name(), "chatml");
}

TEST(ChatTemplateTest, UnknownTemplatesLoadAndSayWhatIsSupported) {
  std::string text = ReadFile(SourceDir() / "launch/demo/chat_template.jinja");
  text.replace(text.find("tool_response"), 4, "TOOL");
  const auto chat_template = MakeChatTemplate(text, "");
  EXPECT_EQ(chat_template->name(), "unknown");
  const auto status = chat_template->Render(OneQuestion()).status();
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("Qwen2.5"));
}

TEST(ChatTemplateTest, LoadsFromEitherFile) {
  const TemporaryFolder folder;
  EXPECT_EQ((*LoadChatTemplate(folder.path()))->name(), "none");
  const std::string qwen = ReadFile(SourceDir() / "launch/demo/chat_template.jinja");
  const Json named = {{{"name", "tool_use"}, {"template", "x"}},
                      {{"name", "default"}, {"template", qwen}}};
  folder.Write("tokenizer_config.json", Json{{"chat_template", named}}.dump());
  EXPECT_EQ((*LoadChatTemplate(folder.path()))->name(), "qwen2.5");
  folder.Write("chat_template.jinja", "{{ x }}");
  EXPECT_EQ((*LoadChatTemplate(folder.path()))->name(), "unknown");
  folder.Write("tokenizer_config.json", R"({"chat_template": 7})");
  EXPECT_THAT(LoadChatTemplate(folder.path()).status().message(), HasSubstr("chat_template: is 7"));
  folder.Write("tokenizer_config.json", "{");
  EXPECT_EQ(LoadChatTemplate(folder.path()).status().code(), StatusCode::kInvalidArgument);
}

TEST(ChatTemplateTest, NamesTheFieldThatItCannotTake) {
  ChatRequest request = OneQuestion();
  request.messages.push_back(Message("assistant", std::nullopt));
  EXPECT_EQ(RenderQwen25(request, "").status().field(), "messages[1].content");
  EXPECT_EQ(RenderDeepSeekR1(request, {}).status().field(), "messages[1].content");
  request.messages[1].tool_calls.resize(1);
  request.messages[1].tool_calls[0].arguments = "{";
  EXPECT_EQ(RenderQwen25(request, "").status().field(),
            "messages[1].tool_calls[0].function.arguments");
  request.messages[1] = Message("developer", "x");
  EXPECT_EQ(RenderQwen25(request, "").status().field(), "messages[1].role");
  EXPECT_EQ(RenderDeepSeekR1(request, {}).status().field(), "messages[1].role");
  request = OneQuestion();
  request.tools = {"{}", "nope"};
  EXPECT_EQ(RenderQwen25(request, "").status().field(), "tools[1]");
  EXPECT_EQ(RenderQwen25({}, "").status().field(), "messages");
}

TEST(PythonJsonTest, WritesWhatPythonWrites) {
  EXPECT_EQ(*ToPythonJson("f", R"({"b":[1,2.50,{}],"a":"\u00e9\u0001\/"})"),
            "{\"b\": [1, 2.5, {}], \"a\": \"\xC3\xA9\\u0001/\"}");
  EXPECT_EQ(*ToPythonJson("f", "123456789012345678901234567890"), "123456789012345678901234567890");
  EXPECT_EQ(PythonFloat(1e16), "1e+16");
  EXPECT_EQ(PythonFloat(1e15), "1000000000000000.0");
  EXPECT_EQ(PythonFloat(1e-4), "0.0001");
  EXPECT_EQ(PythonFloat(-1.5e-5), "-1.5e-05");
  EXPECT_EQ(PythonFloat(5e-324), "5e-324");
  EXPECT_EQ(PythonFloat(-0.0), "-0.0");
  EXPECT_EQ(PythonFloat(123.456), "123.456");
}

TEST(PythonJsonTest, RefusesWhatIsNoPlainJson) {
  for (const std::string& text :
       {std::string(""), std::string("{"), std::string("NaN"), std::string("\"\xFF\""),
        std::string("\"\\ud800\""), std::string("1 2"), std::string(65, '[') + std::string(65, ']'),
        std::string(1 << 20, '[')}) {
    EXPECT_EQ(ToPythonJson("f", text).status().field(), "f");
  }
  EXPECT_THAT(ToPythonJson("f", R"({"a": 1, "a": 2})").status().message(),
              HasSubstr("\"a\" twice"));
}

}  // namespace
}  // namespace phalanx
