// What a reader who does not keep up may cost: what waits in the stream and what is being written
// count together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/openai/api_fixture.h"

namespace phalanx {
namespace {

using testing::Api;
using testing::FakeExchange;

constexpr int32_t kLimitBytes = 256 << 10;

class SlowReaderTest : public ::testing::Test {
 protected:
  SlowReaderTest() {
    api_.AttachEngine();
    exchange_ = api_.Post("/v1/completions", R"({"prompt":"a","stream":true})");
    request_ = api_.PopSubmit().request();
    word_ = api_.Encode(" the").front();
  }
  ~SlowReaderTest() override { exchange_->GoAway(); }  // a server does after --http-write-timeout

  // Text of about that length, so that the memory it takes is more.
  void SendText(int32_t num_bytes) {
    const std::vector<int32_t> ids(static_cast<size_t>(num_bytes / 4), word_);
    api_.Send(request_, num_sent_, ids);
    num_sent_ += static_cast<int32_t>(ids.size());
  }

  Api api_;
  std::shared_ptr<FakeExchange> exchange_;
  uint64_t request_ = 0;

 private:
  int32_t word_ = 0;
  int32_t num_sent_ = 0;
};

TEST_F(SlowReaderTest, WhoReadsNothingIsCancelledAtTheLimit) {
  for (int i = 0; i < 8; ++i) SendText(kLimitBytes / 8);
  EXPECT_EQ(api_.PopCancel(), request_);
}

TEST_F(SlowReaderTest, WhatIsBeingWrittenCounts) {
  SendText(kLimitBytes / 5);
  exchange_->WaitPiece();  // and no other pull: the socket is full
  SendText(kLimitBytes / 5);
  SendText(kLimitBytes / 5);
  EXPECT_EQ(api_.PopCancel(), request_);
}

TEST_F(SlowReaderTest, WhoReadsAllInTheEndGoesOn) {
  for (int i = 0; i < 8; ++i) {
    SendText(kLimitBytes / 5);
    exchange_->WaitPiece();
    exchange_->FinishWriting();
  }
  api_.Send(request_, 8 * (kLimitBytes / 5 / 4), {}, internal::ENGINE_FINISH_LENGTH);
  EXPECT_THAT(exchange_->WaitBody(), ::testing::EndsWith("data: [DONE]\n\n"));
}

}  // namespace
}  // namespace phalanx
