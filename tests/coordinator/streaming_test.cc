// What a client reads from a stream, message by message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/coordinator/test_service.h"
#include "text/utf8.h"

namespace phalanx {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using testing::FakeEngine;
using testing::StreamResult;
using testing::TestService;
using testing::TextRequest;

TEST(StreamingTest, FirstAndLastMessagesCarryWhatTheContractSays) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  v1::GenerateRequest request = TextRequest("Once upon a time");
  request.set_request_id("mine");
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, request);
  const internal::Submit submit = service.submits().Pop();
  EXPECT_THAT(submit.prompt_ids(), ElementsAreArray(service.Encode("Once upon a time")));
  EXPECT_EQ(submit.emitted_ids_size(), 0);
  EXPECT_EQ(submit.sampling().seed(), 7);
  EXPECT_EQ(submit.sampling().max_tokens(), 64);

  const std::vector<int32_t> ids = service.Encode(" there was a cat");
  internal::RequestOutput first = FakeEngine::Output(submit.request(), 0, {ids[0]});
  first.set_cached_tokens(3);
  first.set_queue_ns(2'000'000);
  first.set_prefill_ns(5'000'000);
  engine.Send(first);
  v1::StreamResponse message;
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_FALSE(message.id().empty());
  EXPECT_EQ(message.request_id(), "mine");
  EXPECT_EQ(message.num_prompt_tokens(), submit.prompt_ids_size());
  EXPECT_EQ(message.cached_tokens(), 3);
  EXPECT_THAT(message.token_ids(), ElementsAre(ids[0]));
  EXPECT_EQ(message.finish_reason(), v1::FINISH_REASON_UNSPECIFIED);
  EXPECT_FALSE(message.has_usage());
  std::string text = message.text_delta();

  for (size_t i = 1; i < ids.size(); ++i) {
    const bool last = i + 1 == ids.size();
    engine.Send(
        FakeEngine::Output(submit.request(), static_cast<int32_t>(i), {ids[i]},
                           last ? internal::ENGINE_FINISH_LENGTH : internal::ENGINE_FINISH_NONE));
  }
  StreamResult rest = TestService::ReadAll(*reader);
  ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
  const v1::StreamResponse& last = rest.messages.back();
  EXPECT_EQ(text + rest.Text(), " there was a cat");
  EXPECT_EQ(rest.TokenIds().size() + 1, ids.size());
  EXPECT_TRUE(last.id().empty());
  EXPECT_FALSE(last.has_num_prompt_tokens());
  EXPECT_EQ(last.finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(last.usage().prompt_tokens(), submit.prompt_ids_size());
  EXPECT_EQ(last.usage().completion_tokens(), static_cast<int32_t>(ids.size()));
  EXPECT_EQ(last.usage().cached_tokens(), 3);
  EXPECT_EQ(last.usage().seed(), 7);
  EXPECT_DOUBLE_EQ(last.timings().queue_ms(), 2);
  EXPECT_DOUBLE_EQ(last.timings().prefill_ms(), 5);
  EXPECT_DOUBLE_EQ(last.timings().decode_ms(), 0) << "the fake engine's clock stands still";
}

TEST(StreamingTest, CharactersCutByTokensArriveWhole) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  const internal::Submit submit = service.submits().Pop();
  const std::string text = "日本 🙂 ß";
  const std::vector<int32_t> ids = service.Encode(text);
  ASSERT_GT(ids.size(), 6U) << "the vocabulary has these characters whole";
  std::string read;
  size_t num_read = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    engine.Send(FakeEngine::Output(
        submit.request(), static_cast<int32_t>(i), {ids[i]},
        i + 1 == ids.size() ? internal::ENGINE_FINISH_LENGTH : internal::ENGINE_FINISH_NONE));
    v1::StreamResponse message;
    while (num_read <= i && reader->Read(&message)) {
      EXPECT_FALSE(FindInvalidUtf8(message.text_delta()));
      num_read += static_cast<size_t>(message.token_ids_size());
      read += message.text_delta();
    }
  }
  EXPECT_EQ(read + TestService::ReadAll(*reader).Text(), text);
}

TEST(StreamingTest, AnUnfinishedCharacterEndsAsReplacement) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  const internal::Submit submit = service.submits().Pop();
  std::vector<int32_t> ids = service.Encode("🙂");
  ids.pop_back();
  engine.Send(FakeEngine::Output(submit.request(), 0, ids, internal::ENGINE_FINISH_LENGTH));
  EXPECT_EQ(TestService::ReadAll(*reader).Text(), "\uFFFD");
}

TEST(StreamingTest, ChoicesAreSubmittedApartAndNumbered) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  v1::GenerateRequest request = TextRequest("x");
  request.mutable_sampling()->set_n(3);
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, request);
  std::vector<internal::Submit> submits;
  for (int32_t choice = 0; choice < 3; ++choice) {
    submits.push_back(service.submits().Pop());
    EXPECT_EQ(submits.back().sampling().choice(), choice);
    EXPECT_EQ(submits.back().group(), submits.front().group());
  }
  const std::vector<std::string> words = {" one", " two", " three"};
  for (const size_t choice : {2, 0, 1}) {
    engine.Send(FakeEngine::Output(submits[choice].request(), 0, service.Encode(words[choice]),
                                   internal::ENGINE_FINISH_LENGTH));
  }
  const StreamResult result = TestService::ReadAll(*reader);
  ASSERT_TRUE(result.status.ok());
  for (int32_t choice = 0; choice < 3; ++choice) {
    EXPECT_EQ(result.Text(choice), words[static_cast<size_t>(choice)]);
  }
  int with_usage = 0;
  for (const auto& message : result.messages) with_usage += message.has_usage() ? 1 : 0;
  EXPECT_EQ(with_usage, 1);
  EXPECT_TRUE(result.messages.back().has_usage());
  EXPECT_TRUE(result.messages.front().has_num_prompt_tokens());
}

TEST(StreamingTest, LogprobsCarryTheTokensBytes) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  v1::GenerateRequest request = TextRequest("a cat");
  request.mutable_sampling()->set_logprobs(1);
  request.mutable_sampling()->set_prompt_logprobs(0);
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, request);
  const internal::Submit submit = service.submits().Pop();
  EXPECT_EQ(submit.sampling().logprobs(), 1);
  EXPECT_EQ(submit.sampling().prompt_logprobs(), 0);
  const int32_t id = service.Encode("a")[0];
  internal::RequestOutput output =
      FakeEngine::Output(submit.request(), 0, {id}, internal::ENGINE_FINISH_LENGTH);
  output.mutable_tokens(0)->set_logprob(-0.5F);
  output.mutable_tokens(0)->set_rank(1);
  output.mutable_tokens(0)->add_top()->set_token_id(id);
  for (int i = 1; i < submit.prompt_ids_size(); ++i) {
    internal::TokenInfo* token = output.add_prompt();
    token->set_token_id(submit.prompt_ids(i));
    token->set_logprob(-1.0F);
  }
  engine.Send(output);
  const StreamResult result = TestService::ReadAll(*reader);
  const v1::StreamResponse& first = result.messages.front();
  ASSERT_EQ(first.logprobs_size(), 1);
  EXPECT_EQ(first.logprobs(0).token(), "a");
  EXPECT_EQ(first.logprobs(0).logprob(), -0.5F);
  EXPECT_EQ(first.logprobs(0).top(0).token(), "a");
  ASSERT_EQ(first.prompt_logprobs_size(), submit.prompt_ids_size());
  EXPECT_EQ(first.prompt_logprobs(0).logprob(), 0);
  EXPECT_EQ(first.prompt_logprobs(1).logprob(), -1.0F);
}

TEST(StreamingTest, EchoPutsThePromptFirst) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  v1::GenerateRequest request = TextRequest("Hello");
  request.mutable_sampling()->set_echo(true);
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, request);
  const internal::Submit submit = service.submits().Pop();
  engine.Send(FakeEngine::Output(submit.request(), 0, service.Encode(" world"),
                                 internal::ENGINE_FINISH_LENGTH));
  EXPECT_EQ(TestService::ReadAll(*reader).Text(), "Hello world");

  request.mutable_sampling()->set_max_tokens(0);
  grpc::ClientContext second;
  reader = service.stub().GenerateStream(&second, request);
  const StreamResult echoed = TestService::ReadAll(*reader);
  EXPECT_TRUE(echoed.status.ok()) << echoed.status.error_message();
  EXPECT_EQ(echoed.Text(), "Hello");
  EXPECT_EQ(echoed.messages.back().usage().completion_tokens(), 0);
  EXPECT_TRUE(service.submits().empty());
}

TEST(StreamingTest, UnaryCallsGiveTheSameInOneMessage) {
  TestService service;
  v1::GenerateRequest request = TextRequest("Hello");
  request.mutable_sampling()->set_n(2);
  FakeEngine& engine = service.AttachEngine();
  std::thread worker([&] {
    for (int i = 0; i < 2; ++i) {
      const internal::Submit submit = service.submits().Pop();
      const std::vector<int32_t> ids = service.Encode(i == 0 ? " first" : " second");
      for (size_t k = 0; k < ids.size(); ++k) {
        engine.Send(FakeEngine::Output(
            submit.request(), static_cast<int32_t>(k), {ids[k]},
            k + 1 == ids.size() ? internal::ENGINE_FINISH_LENGTH : internal::ENGINE_FINISH_NONE));
      }
    }
  });
  grpc::ClientContext context;
  v1::GenerateResponse response;
  const grpc::Status status = service.stub().Generate(&context, request, &response);
  worker.join();
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.choices_size(), 2);
  EXPECT_EQ(response.choices(0).text(), " first");
  EXPECT_EQ(response.choices(1).text(), " second");
  EXPECT_EQ(response.choices(1).finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(response.usage().completion_tokens(),
            response.choices(0).token_ids_size() + response.choices(1).token_ids_size());
  EXPECT_FALSE(response.id().empty());
  EXPECT_EQ(response.model(), service.model().id());
}

TEST(StreamingTest, AChatGoesThroughTheTemplate) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  v1::ChatRequest request;
  v1::ChatMessage* message = request.add_messages();
  message->set_role("user");
  message->set_content("Hi");
  grpc::ClientContext context;
  auto reader = service.stub().ChatStream(&context, request);
  const internal::Submit submit = service.submits().Pop();
  const auto prompt = service.model().tokenizer()->Decode(
      {submit.prompt_ids().data(), static_cast<size_t>(submit.prompt_ids_size())});
  ASSERT_TRUE(prompt.ok());
  EXPECT_THAT(*prompt,
              ::testing::EndsWith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"));
  EXPECT_EQ(submit.sampling().max_tokens(), 2048 - submit.prompt_ids_size());
  const int32_t eos = service.model().eos_token_ids().back();
  std::vector<int32_t> ids = service.Encode("Hello!");
  ids.push_back(eos);
  engine.Send(FakeEngine::Output(submit.request(), 0, ids, internal::ENGINE_FINISH_EOS));
  const StreamResult result = TestService::ReadAll(*reader);
  EXPECT_EQ(result.Text(), "Hello!");
  EXPECT_EQ(result.messages.back().finish_reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(result.messages.back().stop_reason(), "");
  EXPECT_EQ(result.TokenIds().back(), eos);
}

}  // namespace
}  // namespace phalanx
