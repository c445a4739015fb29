#include <gtest/gtest.h>

#include <thread>

#include "tests/http/test_server.h"

namespace phalanx::http::testing {
namespace {

using std::chrono::milliseconds;

class Streaming : public ::testing::Test {
 protected:
  Streaming() {
    client_.Write(Get("/hold"));
    exchange_ = server_.handler().TakeHeld();
  }

  TestServer server_;
  RawClient client_ = server_.Connect();
  std::shared_ptr<Exchange> exchange_;
  std::shared_ptr<TestSource> source_ = std::make_shared<TestSource>();
};

TEST_F(Streaming, SendsTheHeadWithTheFirstPiece) {
  exchange_->Stream({.content_type = "text/event-stream"}, source_);
  EXPECT_FALSE(client_.EndsWithin(milliseconds(50)));
  source_->Give("data: 1\n\n");
  exchange_->Wake();
  const std::string first = client_.ReadSome();
  EXPECT_TRUE(first.starts_with("HTTP/1.1 200 OK\r\n")) << first;
  EXPECT_TRUE(first.ends_with("\r\n\r\n9\r\ndata: 1\n\n\r\n")) << first;
  source_->Give("data: 2\n\n");
  exchange_->Wake();
  EXPECT_EQ(client_.ReadSome(), "9\r\ndata: 2\n\n\r\n");
  source_->Give("end");
  source_->End();
  exchange_->Wake();
  EXPECT_EQ(client_.ReadSome(), "3\r\nend\r\n0\r\n\r\n");
  ASSERT_NE(source_->WaitUntilDone(), nullptr);
  EXPECT_EQ(*source_->WaitUntilDone(), BodySource::Outcome::kDelivered);
  client_.Write(Get("/bytes?1"));
  EXPECT_EQ(client_.ReadResponse().body, "x");
}

TEST_F(Streaming, MayEndEmpty) {
  source_->End();
  exchange_->Wake();
  exchange_->Stream({}, source_);
  const ParsedResponse response = client_.ReadResponse();
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(response.body, "");
}

TEST_F(Streaming, JoinsWhatPilesUpWhileAWriteIsBlocked) {
  client_.SetReceiveBuffer(64 << 10);
  exchange_->Stream({}, source_);
  constexpr int kNumPieces = 5'000;
  const std::string piece(1000, 'x');
  for (int i = 0; i < kNumPieces; ++i) {
    source_->Give(piece);
    exchange_->Wake();
  }
  source_->End();
  exchange_->Wake();
  std::this_thread::sleep_for(milliseconds(50));
  const int pulls_while_blocked = source_->num_pulls();
  const ParsedResponse response = client_.ReadResponse();
  EXPECT_EQ(response.body.size(), kNumPieces * piece.size());
  EXPECT_TRUE(response.complete);
  EXPECT_LT(pulls_while_blocked, kNumPieces);
}

TEST_F(Streaming, TakesWakesFromManyThreads) {
  exchange_->Stream({}, source_);
  constexpr int kNumThreads = 4;
  constexpr int kNumPieces = 500;
  std::vector<std::thread> threads;
  for (int t = 0; t < kNumThreads; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < kNumPieces; ++i) {
        source_->Give("x");
        exchange_->Wake();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  source_->End();
  exchange_->Wake();
  EXPECT_EQ(client_.ReadResponse().body, std::string(kNumThreads * kNumPieces, 'x'));
}

}  // namespace
}  // namespace phalanx::http::testing
