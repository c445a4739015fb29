// The calls that need no worker group.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using ::testing::ElementsAreArray;
using testing::FakeEngine;
using testing::TestService;

TEST(InfoTest, TokenizeAndDetokenizeAreInverse) {
  TestService service;
  v1::TokenizeRequest request;
  request.set_text("Héllo 🙂 world");
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(service.stub().Tokenize(&context, request, &response).ok());
  EXPECT_THAT(response.token_ids(), ElementsAreArray(service.Encode(request.text())));
  std::string bytes;
  for (const std::string& token : response.tokens()) bytes += token;
  EXPECT_EQ(bytes, request.text());

  v1::DetokenizeRequest back;
  *back.mutable_token_ids() = response.token_ids();
  v1::DetokenizeResponse text;
  grpc::ClientContext back_context;
  ASSERT_TRUE(service.stub().Detokenize(&back_context, back, &text).ok());
  EXPECT_EQ(text.text(), request.text());

  back.add_token_ids(1 << 20);
  grpc::ClientContext bad_context;
  EXPECT_EQ(service.stub().Detokenize(&bad_context, back, &text).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(InfoTest, TokenizeRendersAChat) {
  TestService service;
  v1::TokenizeRequest request;
  v1::ChatMessage* message = request.mutable_chat()->add_messages();
  message->set_role("user");
  message->set_content("Tell me");
  message = request.mutable_chat()->add_messages();
  message->set_role("assistant");
  message->set_content("Sure, ");
  request.mutable_chat()->set_continue_final_message(true);
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  const grpc::Status status = service.stub().Tokenize(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  std::string text;
  for (const std::string& token : response.tokens()) text += token;
  EXPECT_THAT(text, ::testing::EndsWith("<|im_start|>assistant\nSure, "));
}

TEST(InfoTest, ModelAndServerDescribeThemselves) {
  TestService service({}, {.model_dir = testing::DemoModel(), .names = {"demo", "alias"}});
  FakeEngine& engine = service.AttachEngine();
  for (const char* name : {"", "demo", "alias"}) {
    v1::GetModelInfoRequest request;
    request.set_model(name);
    v1::ModelInfo info;
    grpc::ClientContext context;
    ASSERT_TRUE(service.stub().GetModelInfo(&context, request, &info).ok());
    EXPECT_EQ(info.id(), "demo");
    EXPECT_EQ(info.vocab_size(), 2048);
    EXPECT_EQ(info.max_model_len(), 2048);
    EXPECT_EQ(info.architecture(), "Qwen2ForCausalLM");
    EXPECT_EQ(info.dtype(), "float32");
    EXPECT_TRUE(info.has_chat_template());
    EXPECT_THAT(info.eos_token_ids(), ::testing::ElementsAre(2043, 2045));
  }
  internal::EngineStats stats;
  stats.set_num_running(3);
  engine.SendStats(stats);
  v1::ServerInfo info;
  for (int i = 0; i < 1000 && info.num_running() != 3; ++i) {
    grpc::ClientContext context;
    ASSERT_TRUE(service.stub().GetServerInfo(&context, {}, &info).ok());
  }
  EXPECT_EQ(info.num_running(), 3);
  EXPECT_EQ(info.state(), "ready");
  EXPECT_EQ(info.numerics_id(), "fake");
  EXPECT_EQ(info.epoch(), static_cast<int64_t>(engine.epoch()));
}

}  // namespace
}  // namespace phalanx
