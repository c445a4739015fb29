#include "coordinator/core/served_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kConfig[] =
    R"({"architectures":["Qwen2ForCausalLM"],"vocab_size":32,"eos_token_id":5,"torch_dtype":"float16"})";

class ServedModelTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_.path() / name) << text;
  }
  StatusOr<std::unique_ptr<const ServedModel>> Load() {
    return ServedModel::Load({.model_dir = dir_.path()});
  }

  testing::TempDir dir_;
};

TEST_F(ServedModelTest, AReasoningParserNeedsTheTokens) {
  const auto refused =
      ServedModel::Load({.model_dir = testing::DemoModel(), .reasoning_parser = "deepseek_r1"});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.status().message(), HasSubstr("--reasoning-parser"));
  testing::WriteThinkingModel(dir_.path());
  const auto model =
      ServedModel::Load({.model_dir = dir_.path(), .reasoning_parser = "deepseek_r1"});
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE((*model)->reasoning().has_value());
  EXPECT_EQ((*model)->reasoning()->end, (*model)->tokenizer()->TokenToId("</think>"));
  EXPECT_FALSE((*Load())->reasoning().has_value());
}

TEST_F(ServedModelTest, AFolderWithAConfigAloneServesTokenIds) {
  Write("config.json", kConfig);
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->tokenizer(), nullptr);
  EXPECT_EQ((*model)->vocab_size(), 32);
  EXPECT_EQ((*model)->dtype(), "float16");
  EXPECT_THAT((*model)->eos_token_ids(), ElementsAre(5));
  EXPECT_EQ((*model)->defaults().temperature, 1.0F);
  EXPECT_EQ((*model)->CheckName("other").code(), StatusCode::kNotFound);
}

TEST_F(ServedModelTest, ADeepConfigIsRefused) {
  constexpr size_t kDepth = 200'000;
  Write("config.json",
        R"({"vocab_size":)" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}");
  EXPECT_THAT(Load().status().message(), HasSubstr("config.json: is not a JSON object"));
}

TEST_F(ServedModelTest, GenerationConfigGivesDefaultsAndEos) {
  Write("config.json", kConfig);
  Write("generation_config.json",
        R"({"temperature":0.7,"top_k":20,"eos_token_id":[7,6],"max_new_tokens":99})");
  auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_FLOAT_EQ((*model)->defaults().temperature, 0.7F);
  EXPECT_EQ((*model)->defaults().top_k, 20);
  EXPECT_EQ((*model)->defaults().max_new_tokens, 99);
  EXPECT_THAT((*model)->eos_token_ids(), ElementsAre(6, 7));
  Write("generation_config.json", R"({"do_sample":false,"temperature":0.7})");
  model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->defaults().temperature, 0.0F) << "as transformers: no sampling";
}

TEST_F(ServedModelTest, ABadOverrideIsNotBlamedOnTheFile) {
  Write("config.json", kConfig);
  Write("generation_config.json", R"({"temperature":0.7,"top_p":0.9})");
  const auto error = [&](const char* override_json) {
    return ServedModel::Load(
               {.model_dir = dir_.path(), .override_generation_config = override_json})
        .status()
        .message();
  };
  EXPECT_EQ(error(R"({"temperature":5})"),
            "--override-generation-config: temperature: is 5, allowed: a number from 0 to 2");
  Write("generation_config.json", R"({"temperature":0.7,"top_p":7})");
  EXPECT_THAT(error(R"({"temperature":1})"), HasSubstr("generation_config.json: top_p: is 7"));
}

TEST_F(ServedModelTest, AChosenTemplateSeesTheModelsTokens) {
  Write("config.json", kConfig);
  Write("tokenizer_config.json", R"({"bos_token":"<b>","eos_token":{"content":"<e>"}})");
  Write("chosen.jinja", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}");
  ServedModelOptions options{.model_dir = dir_.path(),
                             .chat_template = dir_.path() / "chosen.jinja"};
  auto model = ServedModel::Load(options);
  ASSERT_TRUE(model.ok()) << model.status();
  ChatMessage message;
  message.role = "user";
  message.content = "hello";
  ChatRequest chat;
  chat.messages = {message};
  const auto text = (*model)->chat_template().Render(chat);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, "<b>hello<e>");

  Write("chosen.jinja", "a\n{% if %}");
  model = ServedModel::Load(options);
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(model.status().message(), HasSubstr("--chat-template"));
  EXPECT_THAT(model.status().message(), HasSubstr("chosen.jinja"));
  EXPECT_THAT(model.status().message(), HasSubstr("line 2"));
}

TEST_F(ServedModelTest, BrokenFilesAreRefusedWithFileAndField) {
  EXPECT_THAT(Load().status().message(), HasSubstr("config.json"));
  struct Row {
    const char* file;
    const char* text;
    const char* named;
  };
  const Row rows[] = {
      {"config.json", "[", "config.json"},
      {"config.json", "{}", "vocab_size"},
      {"config.json", R"({"vocab_size":-3})", "vocab_size"},
      {"config.json", R"({"vocab_size":"many"})", "vocab_size"},
      {"config.json", R"({"vocab_size":32,"eos_token_id":32})", "eos_token_id"},
      {"generation_config.json", R"({"temperature":"hot"})", "temperature"},
      {"generation_config.json", R"({"top_p":0})", "top_p"},
      {"generation_config.json", R"({"top_k":1.5})", "top_k"},
      {"generation_config.json", R"({"repetition_penalty":-1})", "repetition_penalty"},
      {"tokenizer.json", "{", "tokenizer.json"},
  };
  for (const Row& row : rows) {
    Write("config.json", kConfig);
    std::filesystem::remove(dir_.path() / "generation_config.json");
    Write(row.file, row.text);
    const auto model = Load();
    ASSERT_FALSE(model.ok()) << row.text;
    EXPECT_THAT(model.status().message(), HasSubstr(row.named));
    EXPECT_THAT(model.status().message(), HasSubstr(row.file));
  }
}

}  // namespace
}  // namespace phalanx
