// How a choice ends: stop strings across the edges of tokens, stop tokens, min_tokens, and what of
// the text a client never sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using ::testing::ElementsAreArray;
using testing::FakeEngine;
using testing::StreamResult;
using testing::TestService;
using testing::TextRequest;

// Streams `text` token by token; the worker does not end it.
StreamResult Stream(TestService& service, const v1::GenerateRequest& request,
                    const std::vector<int32_t>& ids, uint64_t* engine_request = nullptr) {
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, request);
  const internal::Submit submit = service.submits().Pop();
  if (engine_request != nullptr) *engine_request = submit.request();
  for (size_t i = 0; i < ids.size(); ++i) {
    service.engine().Send(FakeEngine::Output(submit.request(), static_cast<int32_t>(i), {ids[i]}));
  }
  return TestService::ReadAll(*reader);
}

TEST(StopTest, AStopStringAcrossTokensEndsTheStreamAndCancelsTheWorker) {
  TestService service;
  service.AttachEngine();
  v1::GenerateRequest request = TextRequest("x");
  request.mutable_sampling()->add_stop("never");
  request.mutable_sampling()->add_stop("b\nQ");
  std::vector<int32_t> ids;
  for (const char* part : {"a", "b", "\n", "Q", "u"}) ids.push_back(service.Encode(part)[0]);
  uint64_t engine_request = 0;
  const StreamResult result = Stream(service, request, ids, &engine_request);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.Text(), "a");
  EXPECT_EQ(result.messages.back().finish_reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(result.messages.back().stop_reason(), "b\nQ");
  EXPECT_EQ(result.messages.back().usage().completion_tokens(), 4);
  ids.pop_back();
  EXPECT_THAT(result.TokenIds(), ElementsAreArray(ids)) << "up to the token that completed it";
  EXPECT_EQ(service.cancels().Pop(), engine_request);
}

TEST(StopTest, TextThatMayBecomeAStopStringWaits) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  v1::GenerateRequest request = TextRequest("x");
  request.mutable_sampling()->add_stop("ab!");
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, request);
  const internal::Submit submit = service.submits().Pop();
  v1::StreamResponse message;
  const char* parts[] = {"a", "b", "?"};
  const char* seen[] = {"", "", "ab?"};
  for (int32_t i = 0; i < 3; ++i) {
    engine.Send(FakeEngine::Output(submit.request(), i, {service.Encode(parts[i])[0]}));
    ASSERT_TRUE(reader->Read(&message));
    EXPECT_EQ(message.text_delta(), seen[i]);
    EXPECT_EQ(message.token_ids_size(), 1) << "ids do not wait for text";
  }
  context.TryCancel();
  TestService::ReadAll(*reader);
}

TEST(StopTest, WithheldTextComesOutAtAnotherEndAndNotAtAnError) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  v1::GenerateRequest request = TextRequest("x");
  request.mutable_sampling()->add_stop("ab");
  for (const bool fails : {false, true}) {
    grpc::ClientContext context;
    auto reader = service.stub().GenerateStream(&context, request);
    const internal::Submit submit = service.submits().Pop();
    internal::RequestOutput output =
        FakeEngine::Output(submit.request(), 0, {service.Encode("a")[0]});
    if (!fails) output.set_finish(internal::ENGINE_FINISH_LENGTH);
    engine.Send(output);
    if (fails) {
      internal::RequestOutput error;
      error.set_request(submit.request());
      error.set_finish(internal::ENGINE_FINISH_ERROR);
      error.set_error("NaN in the logits");
      error.set_error_code(static_cast<int>(StatusCode::kInternal));
      engine.Send(error);
    }
    const StreamResult result = TestService::ReadAll(*reader);
    EXPECT_EQ(result.Text(), fails ? "" : "a");
    EXPECT_EQ(result.status.ok(), !fails);
    if (fails) {
      EXPECT_EQ(result.status.error_code(), grpc::StatusCode::INTERNAL);
      EXPECT_THAT(result.status.error_message(), ::testing::HasSubstr("req-"));
      EXPECT_THAT(result.status.error_message(), ::testing::HasSubstr("NaN in the logits"));
    }
  }
}

TEST(StopTest, IncludeStopStrKeepsIt) {
  TestService service;
  service.AttachEngine();
  v1::GenerateRequest request = TextRequest("x");
  request.mutable_sampling()->add_stop("b");
  request.mutable_sampling()->set_include_stop_str_in_output(true);
  std::vector<int32_t> ids = {service.Encode("a")[0], service.Encode("b")[0]};
  EXPECT_EQ(Stream(service, request, ids).Text(), "ab");
}

TEST(StopTest, StopStringsDoNotCountBeforeMinTokens) {
  TestService service;
  service.AttachEngine();
  v1::GenerateRequest request = TextRequest("x");
  request.mutable_sampling()->add_stop("b");
  request.mutable_sampling()->set_min_tokens(2);
  const int32_t a = service.Encode("a")[0];
  const int32_t b = service.Encode("b")[0];
  EXPECT_EQ(Stream(service, request, {b, b, a, b, a}).Text(), "bba");
}

TEST(StopTest, AStopStringMayBeginBeforeMinTokensAndEndAfter) {
  TestService service;
  service.AttachEngine();
  v1::GenerateRequest request = TextRequest("x");
  request.mutable_sampling()->add_stop("ab!");
  request.mutable_sampling()->set_min_tokens(2);
  const int32_t a = service.Encode("a")[0];
  const int32_t b = service.Encode("b")[0];
  const int32_t mark = service.Encode("!")[0];
  const int32_t question = service.Encode("?")[0];
  StreamResult result = Stream(service, request, {a, b, mark, question});
  EXPECT_EQ(result.Text(), "") << "no part of it was let through early";
  EXPECT_EQ(result.messages.back().stop_reason(), "ab!");
  EXPECT_EQ(result.messages.back().usage().completion_tokens(), 3);
  request.mutable_sampling()->set_min_tokens(3);
  result = Stream(service, request, {a, b, mark, question, a, b, mark});
  EXPECT_EQ(result.Text(), "ab!?") << "it ended within the first three tokens";
  EXPECT_EQ(result.messages.back().usage().completion_tokens(), 7);
}

TEST(StopTest, ManyTokensInOneOutputStopWithinIt) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  v1::GenerateRequest request = TextRequest("x");
  request.mutable_sampling()->add_stop("b");
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, request);
  const internal::Submit submit = service.submits().Pop();
  const int32_t a = service.Encode("a")[0];
  const int32_t b = service.Encode("b")[0];
  engine.Send(
      FakeEngine::Output(submit.request(), 0, {a, b, a, a}, internal::ENGINE_FINISH_LENGTH));
  const StreamResult result = TestService::ReadAll(*reader);
  EXPECT_EQ(result.Text(), "a");
  EXPECT_THAT(result.TokenIds(), ElementsAreArray({a, b}));
  EXPECT_EQ(result.messages.back().finish_reason(), v1::FINISH_REASON_STOP);
}

TEST(StopTest, AStopTokenIsCountedButNotShown) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  for (const bool include : {false, true}) {
    v1::GenerateRequest request = TextRequest("x");
    const int32_t a = service.Encode("a")[0];
    const int32_t b = service.Encode("b")[0];
    request.mutable_sampling()->add_stop_token_ids(b);
    request.mutable_sampling()->set_include_stop_str_in_output(include);
    grpc::ClientContext context;
    auto reader = service.stub().GenerateStream(&context, request);
    const internal::Submit submit = service.submits().Pop();
    EXPECT_THAT(submit.sampling().stop_token_ids(), ElementsAreArray({b}));
    internal::RequestOutput output =
        FakeEngine::Output(submit.request(), 0, {a, b}, internal::ENGINE_FINISH_STOP_TOKEN);
    output.set_stop_token_id(b);
    engine.Send(output);
    const StreamResult result = TestService::ReadAll(*reader);
    EXPECT_EQ(result.Text(), include ? "ab" : "a");
    EXPECT_THAT(result.TokenIds(), ElementsAreArray({a, b}));
    EXPECT_EQ(result.messages.back().stop_reason(), std::to_string(b));
  }
}

TEST(StopTest, SpecialTokensAreSkippedUnlessAskedFor) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  const int32_t special = service.Encode("<|im_start|>")[0];
  const int32_t a = service.Encode("a")[0];
  for (const bool skip : {true, false}) {
    v1::GenerateRequest request = TextRequest("x");
    request.mutable_sampling()->set_skip_special_tokens(skip);
    grpc::ClientContext context;
    auto reader = service.stub().GenerateStream(&context, request);
    const internal::Submit submit = service.submits().Pop();
    engine.Send(
        FakeEngine::Output(submit.request(), 0, {special, a}, internal::ENGINE_FINISH_LENGTH));
    EXPECT_EQ(TestService::ReadAll(*reader).Text(), skip ? "a" : "<|im_start|>a");
  }
}

}  // namespace
}  // namespace phalanx
