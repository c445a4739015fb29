// Streams that end otherwise: cancelled, too late, badly served, or read too slowly.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "google/rpc/error_details.pb.h"
#include "tests/coordinator/head_only_call.h"
#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using testing::FakeEngine;
using ::testing::HasSubstr;
using testing::StreamResult;
using testing::TestService;
using testing::TextRequest;

TEST(EndingsTest, ACancelledClientFreesTheWorkerAtOnceAndOthersGoOn) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  grpc::ClientContext cancelled_context;
  auto cancelled = service.stub().GenerateStream(&cancelled_context, TextRequest("x"));
  const internal::Submit first = service.submits().Pop();
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("y"));
  const internal::Submit second = service.submits().Pop();

  cancelled_context.TryCancel();
  EXPECT_EQ(service.cancels().Pop(), first.request());
  EXPECT_EQ(TestService::ReadAll(*cancelled).status.error_code(), grpc::StatusCode::CANCELLED);

  engine.Send(FakeEngine::Output(first.request(), 0, {1}));  // on its way already
  engine.Send(FakeEngine::Output(second.request(), 0, service.Encode("fine"),
                                 internal::ENGINE_FINISH_LENGTH));
  const StreamResult result = TestService::ReadAll(*reader);
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(result.Text(), "fine");
}

TEST(EndingsTest, AllChoicesOfACancelledRequestAreCancelled) {
  TestService service;
  service.AttachEngine();
  v1::GenerateRequest request = TextRequest("x");
  request.mutable_sampling()->set_n(2);
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, request);
  const uint64_t first = service.submits().Pop().request();
  const uint64_t second = service.submits().Pop().request();
  context.TryCancel();
  EXPECT_EQ(service.cancels().Pop(), first);
  EXPECT_EQ(service.cancels().Pop(), second);
  TestService::ReadAll(*reader);
}

TEST(EndingsTest, ADeadlinePassesInTheQueueToo) {
  TestService service;
  service.AttachEngine();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  const internal::Submit submit = service.submits().Pop();
  EXPECT_EQ(TestService::ReadAll(*reader).status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(service.cancels().Pop(), submit.request());
}

TEST(EndingsTest, TheServersOwnTimeLimitEndsARequest) {
  Limits limits;
  limits.max_request_time = std::chrono::milliseconds(100);
  TestService service(limits);
  service.AttachEngine();
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  const StreamResult result = TestService::ReadAll(*reader);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(service.cancels().Pop(), service.submits().Pop().request());
}

TEST(EndingsTest, OnlyTheNextIndexIsAccepted) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  const std::vector<int32_t> ids = service.Encode(" one two three");
  ASSERT_GE(ids.size(), 3U);
  {
    grpc::ClientContext context;
    auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
    const uint64_t request = service.submits().Pop().request();
    engine.Send(FakeEngine::Output(request, 0, {ids[0]}));
    engine.Send(FakeEngine::Output(request, 0, {ids[0], ids[1]}));  // the first one again
    engine.Send(FakeEngine::Output(request + 1000, 0, {ids[0]}));   // unknown
    internal::StepOutput stale;
    stale.set_epoch(engine.epoch() - 1);
    *stale.add_outputs() = FakeEngine::Output(request, 2, {7});
    engine.SendStep(stale);
    engine.Send(FakeEngine::Output(request, 2, {ids[2]}, internal::ENGINE_FINISH_LENGTH));
    const StreamResult result = TestService::ReadAll(*reader);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_THAT(result.TokenIds(), ::testing::ElementsAre(ids[0], ids[1], ids[2]));
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  const uint64_t request = service.submits().Pop().request();
  engine.Send(FakeEngine::Output(request, 1, {ids[0]}));
  const StreamResult result = TestService::ReadAll(*reader);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(service.cancels().Pop(), request);
}

// The retry time of a refusal; 0: there is none.
double RetrySeconds(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::RetryInfo retry;
  if (!details.ParseFromString(status.error_details()) || details.details_size() != 1 ||
      details.details(0).type_url() != "type.googleapis.com/google.rpc.RetryInfo" ||
      !retry.ParseFromString(details.details(0).value())) {
    return 0;
  }
  return static_cast<double>(retry.retry_delay().seconds()) + 1e-9 * retry.retry_delay().nanos();
}

TEST(EndingsTest, AFullQueueSaysWhenToTryAgain) {
  Limits limits;
  limits.max_waiting = 1;
  TestService service(limits);
  internal::Register group = FakeEngine::DefaultRegistration(service.model().vocab_size());
  group.set_max_num_seqs(2);
  FakeEngine& engine = service.AttachEngine(group);
  std::vector<grpc::ClientContext> contexts(4);
  std::vector<std::unique_ptr<grpc::ClientReader<v1::StreamResponse>>> readers;
  std::vector<uint64_t> requests;
  const auto start = [&] {
    readers.push_back(service.stub().GenerateStream(&contexts[readers.size()], TextRequest("x")));
    requests.push_back(service.submits().Pop().request());
  };
  for (int i = 0; i < 3; ++i) start();
  grpc::ClientContext refused_context;
  auto refused = service.stub().GenerateStream(&refused_context, TextRequest("x"));
  const grpc::Status status = TestService::ReadAll(*refused).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("3 sequences are running or waiting"));
  EXPECT_THAT(status.error_message(), HasSubstr("2 that the workers run and 1 that wait"));
  EXPECT_GT(RetrySeconds(status), 0);

  engine.Send(FakeEngine::Output(requests[0], 0, {1}, internal::ENGINE_FINISH_LENGTH));
  EXPECT_TRUE(TestService::ReadAll(*readers[0]).status.ok());
  start();  // its place is free again
  for (grpc::ClientContext& context : contexts) context.TryCancel();
  for (size_t i = 1; i < readers.size(); ++i) TestService::ReadAll(*readers[i]);
}

TEST(EndingsTest, APromptThatWouldWaitTooLongIsRefused) {
  Limits limits;
  limits.max_first_token_wait = std::chrono::milliseconds(1);
  TestService service(limits);
  internal::Register group = FakeEngine::DefaultRegistration(service.model().vocab_size());
  group.set_max_num_batched_tokens(1);
  FakeEngine& engine = service.AttachEngine(group);
  const std::string prompt = "Once upon a time there was a cat";
  std::vector<grpc::ClientContext> contexts(3);
  std::vector<std::unique_ptr<grpc::ClientReader<v1::StreamResponse>>> readers;
  std::vector<uint64_t> requests;
  for (grpc::ClientContext& context : contexts) {
    readers.push_back(service.stub().GenerateStream(&context, TextRequest(prompt)));
    requests.push_back(service.submits().Pop().request());
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  engine.Send(FakeEngine::Output(requests[0], 0, {1}, internal::ENGINE_FINISH_LENGTH));
  EXPECT_TRUE(TestService::ReadAll(*readers[0]).status.ok());
  grpc::ClientContext refused_context;
  auto refused = service.stub().GenerateStream(&refused_context, TextRequest(prompt));
  const grpc::Status status = TestService::ReadAll(*refused).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("prompt tokens wait"));
  EXPECT_GT(RetrySeconds(status), 0);
  for (grpc::ClientContext& context : contexts) context.TryCancel();
  for (size_t i = 1; i < readers.size(); ++i) TestService::ReadAll(*readers[i]);
}

// Feeds a stream that nobody reads until the worker is told to stop.
uint64_t FloodUntilCancelled(TestService& service) {
  const internal::Submit submit = service.submits().Pop();
  std::vector<int32_t> ids(256, service.Encode("a")[0]);
  constexpr int kMaxOutputs = 20'000;
  for (int i = 0; i < kMaxOutputs && service.cancels().empty(); ++i) {
    service.engine().Send(
        FakeEngine::Output(submit.request(), i * static_cast<int32_t>(ids.size()), ids));
  }
  return submit.request();
}

TEST(EndingsTest, AReaderWhoLeavesTooMuchUnreadIsCutOffAndOthersGoOn) {
  Limits limits;
  limits.max_stream_buffer_bytes = 64 << 10;
  TestService service(limits);
  FakeEngine& engine = service.AttachEngine();
  grpc::ClientContext slow_context;
  auto slow = service.stub().GenerateStream(&slow_context, TextRequest("x", 2000));
  const uint64_t request = FloodUntilCancelled(service);
  EXPECT_EQ(service.cancels().Pop(), request);

  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("y"));
  engine.Send(FakeEngine::Output(service.submits().Pop().request(), 0, service.Encode("fine"),
                                 internal::ENGINE_FINISH_LENGTH));
  EXPECT_EQ(TestService::ReadAll(*reader).Text(), "fine");

  const StreamResult result = TestService::ReadAll(*slow);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_THAT(result.status.error_message(), HasSubstr("too slowly"));
}

TEST(EndingsTest, AStalledWriteIsGivenUp) {
  Limits limits;
  limits.max_stalled_write = std::chrono::milliseconds(300);
  limits.max_stream_buffer_bytes = 1 << 20;
  TestService service(limits);
  FakeEngine& engine = service.AttachEngine();
  grpc::ClientContext context;
  auto slow = service.stub().GenerateStream(&context, TextRequest("x", 2000));
  const internal::Submit submit = service.submits().Pop();
  // More than the transport takes without a reader, less than the buffer.
  std::vector<int32_t> ids(100'000, service.Encode("a")[0]);
  engine.Send(FakeEngine::Output(submit.request(), 0, ids));
  EXPECT_EQ(service.cancels().Pop(), submit.request());
  EXPECT_TRUE(service.frontend().WaitForStreams(std::chrono::seconds(5)));
  TestService::ReadAll(*slow);
}

TEST(EndingsTest, AMessageThatDoesNotComeIsNotWaitedForLong) {
  Limits limits;
  limits.max_message_time = std::chrono::milliseconds(200);
  TestService service(limits);
  service.AttachEngine();
  for (const char* method : {"Generate", "ChatStream", "Tokenize"}) {
    grpc::ClientContext context;
    const grpc::Status status = testing::CallWithoutMessage(service.channel(), context, method);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << method;
    EXPECT_EQ(status.error_message(),
              "the message of the call did not come within 0.2 s (--max-message-time)");
  }
}

// As a call of one response, whose client takes the head and nothing more.
TEST(EndingsTest, AWholeAnswerThatNobodyTakesIsGivenUp) {
  Limits limits;
  limits.max_stalled_write = std::chrono::milliseconds(300);
  TestService service(limits);
  FakeEngine& engine = service.AttachEngine();
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call = service.stub().PrepareAsyncGenerate(&context, TextRequest("x", 2000), &queue);
  call->StartCall();
  int head = 0;
  call->ReadInitialMetadata(&head);
  const internal::Submit submit = service.submits().Pop();
  std::vector<int32_t> ids(100'000, service.Encode("a")[0]);
  engine.Send(FakeEngine::Output(submit.request(), 0, ids, internal::ENGINE_FINISH_LENGTH));
  EXPECT_TRUE(service.frontend().WaitForStreams(std::chrono::seconds(5)));
  v1::GenerateResponse response;
  grpc::Status status;
  call->Finish(&response, &status, &status);
  testing::TakeAll(queue);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
}

}  // namespace
}  // namespace phalanx
