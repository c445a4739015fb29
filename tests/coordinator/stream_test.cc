#include "coordinator/core/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using ::testing::ElementsAre;
using testing::FakeEngine;

class NoSink final : public Sink {
 public:
  void OnReady() override {}
  void Abort() override {}
};

std::shared_ptr<Stream> NewStream(int32_t num_choices, Delivery delivery) {
  StreamInit init;
  init.first_request = 10;
  init.prompt.ids = {1, 2, 3};
  init.params.num_choices = num_choices;
  init.params.engine.set_max_tokens(8);
  init.params.engine.set_logprobs(-1);
  init.params.engine.set_prompt_logprobs(-1);
  init.delivery = delivery;
  init.sink = std::make_shared<NoSink>();
  auto stream = Stream::Create(std::move(init), nullptr);
  PHALANX_CHECK(stream.ok());
  return *std::move(stream);
}

TEST(StreamTest, WhatPilesUpGoesOutAsOneMessageForEachChoice) {
  const auto stream = NewStream(2, Delivery::kIncremental);
  constexpr std::chrono::nanoseconds now(0);
  stream->Accept(0, FakeEngine::Output(10, 0, {4}), now);
  stream->Accept(1, FakeEngine::Output(11, 0, {5}, internal::ENGINE_FINISH_LENGTH), now);
  stream->Accept(0, FakeEngine::Output(10, 1, {6, 7}, internal::ENGINE_FINISH_LENGTH), now);
  v1::StreamResponse message;
  Status status;
  ASSERT_EQ(stream->Next(&message, &status), Stream::NextResult::kMessage);
  EXPECT_EQ(message.index(), 0);
  EXPECT_THAT(message.token_ids(), ElementsAre(4, 6, 7));
  EXPECT_EQ(message.num_prompt_tokens(), 3);
  EXPECT_FALSE(message.has_usage()) << "only the last message has it";
  ASSERT_EQ(stream->Next(&message, &status), Stream::NextResult::kMessage);
  EXPECT_EQ(message.index(), 1);
  EXPECT_THAT(message.token_ids(), ElementsAre(5));
  EXPECT_FALSE(message.has_num_prompt_tokens());
  EXPECT_EQ(message.usage().completion_tokens(), 4);
  EXPECT_EQ(stream->Next(&message, &status), Stream::NextResult::kEnd);
  EXPECT_TRUE(status.ok());
}

TEST(StreamTest, DecodeTimeIsTheEnginesAndNotTheArrivals) {
  using std::chrono::milliseconds;
  const auto stream = NewStream(2, Delivery::kWhole);
  // Over a day after the worker's start; everything arrives at once.
  const milliseconds start(100'000'000);
  stream->Accept(0, FakeEngine::Output(10, 0, {4}), start);
  stream->Accept(1, FakeEngine::Output(11, 0, {5}), start);
  stream->Accept(1, FakeEngine::Output(11, 1, {6}, internal::ENGINE_FINISH_LENGTH),
                 start + milliseconds(20));
  EXPECT_DOUBLE_EQ(stream->summary().timings.decode_ms(), 20);
  stream->Accept(0, FakeEngine::Output(10, 1, {7}), start + milliseconds(50));
  EXPECT_DOUBLE_EQ(stream->summary().timings.decode_ms(), 50);
  // The end that says nothing new is later than the last token; so is a cancellation.
  stream->Accept(0, FakeEngine::Output(10, 2, {}, internal::ENGINE_FINISH_CANCELLED),
                 start + milliseconds(900));
  v1::StreamResponse message;
  Status status;
  ASSERT_EQ(stream->Next(&message, &status), Stream::NextResult::kMessage);
  ASSERT_EQ(stream->Next(&message, &status), Stream::NextResult::kMessage);
  EXPECT_DOUBLE_EQ(message.timings().decode_ms(), 50);
}

TEST(StreamTest, ACancelledStreamKeepsItsTimes) {
  using std::chrono::milliseconds;
  const auto stream = NewStream(1, Delivery::kIncremental);
  internal::RequestOutput first = FakeEngine::Output(10, 0, {4});
  first.set_prefill_ns(3'000'000);
  stream->Accept(0, first, milliseconds(5));
  stream->Accept(0, FakeEngine::Output(10, 1, {4}), milliseconds(15));
  stream->Fail(CancelledError("gone"));
  stream->Accept(0, FakeEngine::Output(10, 2, {4}), milliseconds(25));
  EXPECT_DOUBLE_EQ(stream->summary().timings.decode_ms(), 10);
  EXPECT_DOUBLE_EQ(stream->summary().timings.prefill_ms(), 3);
}

TEST(StreamTest, AWholeAnswerWaitsForItsEnd) {
  const auto stream = NewStream(1, Delivery::kWhole);
  v1::StreamResponse message;
  Status status;
  EXPECT_FALSE(
      stream->Accept(0, FakeEngine::Output(10, 0, {4}), std::chrono::nanoseconds(0)).notify);
  EXPECT_EQ(stream->Next(&message, &status), Stream::NextResult::kNothing);
  EXPECT_TRUE(stream
                  ->Accept(0, FakeEngine::Output(10, 1, {5}, internal::ENGINE_FINISH_LENGTH),
                           std::chrono::nanoseconds(0))
                  .notify);
  ASSERT_EQ(stream->Next(&message, &status), Stream::NextResult::kMessage);
  EXPECT_THAT(message.token_ids(), ElementsAre(4, 5));
}

TEST(StreamTest, ASubmitForReplayCarriesWhatWasEmitted) {
  const auto stream = NewStream(1, Delivery::kIncremental);
  stream->Accept(0, FakeEngine::Output(10, 0, {4, 5}), std::chrono::nanoseconds(0));
  const internal::Submit submit = stream->BuildSubmit(0);
  EXPECT_THAT(submit.prompt_ids(), ElementsAre(1, 2, 3));
  EXPECT_THAT(submit.emitted_ids(), ElementsAre(4, 5));
}

TEST(StreamTest, AFailureEndsItOnce) {
  const auto stream = NewStream(1, Delivery::kIncremental);
  EXPECT_TRUE(stream->Fail(UnavailableError("first")));
  EXPECT_FALSE(stream->Fail(UnavailableError("second")));
  EXPECT_TRUE(
      stream->Accept(0, FakeEngine::Output(10, 0, {4}), std::chrono::nanoseconds(0)).choice_done);
  v1::StreamResponse message;
  Status status;
  EXPECT_EQ(stream->Next(&message, &status), Stream::NextResult::kEnd);
  EXPECT_EQ(status.message(), "first");
}

}  // namespace
}  // namespace phalanx
