#include <gtest/gtest.h>

#include "tests/http/test_server.h"

namespace phalanx::http::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

enum class End { kClose, kReset, kShutdownWrite };

class Disconnect : public ::testing::TestWithParam<End> {
 protected:
  static void Leave(RawClient& client) {
    switch (GetParam()) {
      case End::kClose:
        return client.Close();
      case End::kReset:
        return client.Reset();
      case End::kShutdownWrite:
        return client.ShutdownWrite();
    }
  }
};

TEST_P(Disconnect, IsHeardOfWhileTheAnswerIsAwaited) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  const auto watcher = std::make_shared<TestWatcher>();
  exchange->Watch(watcher);
  const auto begin = steady_clock::now();
  Leave(client);
  ASSERT_TRUE(watcher->WaitUntilGone());
  EXPECT_LT(steady_clock::now() - begin, milliseconds(2000));
  exchange->Send({});
  EXPECT_TRUE(Eventually([&] { return server.server().num_connections() == 0; }));
  EXPECT_EQ(watcher->num_calls(), 1);
}

TEST_P(Disconnect, IsHeardOfWhileNothingIsStreamed) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  const auto watcher = std::make_shared<TestWatcher>();
  const auto source = std::make_shared<TestSource>();
  exchange->Watch(watcher);
  exchange->Stream({}, source);
  source->Give("first");
  exchange->Wake();
  EXPECT_NE(client.ReadSome().find("200 OK"), std::string::npos);
  Leave(client);
  ASSERT_NE(source->WaitUntilDone(), nullptr);
  EXPECT_EQ(*source->WaitUntilDone(), BodySource::Outcome::kGone);
  EXPECT_EQ(watcher->num_calls(), 1);
}

TEST_P(Disconnect, IsHeardOfWhileTheWriteIsBlocked) {
  TestServer server;
  RawClient client = server.Connect();
  client.SetReceiveBuffer(4096);
  client.Write(Get("/flood"));
  EXPECT_FALSE(client.ReadSome().empty());
  Leave(client);
  EXPECT_TRUE(Eventually([&] { return server.handler().num_gone() == 1; }));
  EXPECT_TRUE(Eventually([&] { return server.server().num_connections() == 0; }));
}

INSTANTIATE_TEST_SUITE_P(All, Disconnect,
                         ::testing::Values(End::kClose, End::kReset, End::kShutdownWrite));

TEST(Disconnects, AreHeardOfByWatchersThatComeLate) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  client.Close();
  ASSERT_TRUE(Eventually([&] { return server.server().num_connections() == 0; }));
  const auto watcher = std::make_shared<TestWatcher>();
  exchange->Watch(watcher);
  EXPECT_EQ(watcher->num_calls(), 1);
}

TEST(Disconnects, AreNotReportedAfterTheAnswer) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  const auto watcher = std::make_shared<TestWatcher>();
  exchange->Watch(watcher);
  exchange->Send({});
  EXPECT_EQ(client.ReadResponse().status, 200);
  client.Close();
  ASSERT_TRUE(Eventually([&] { return server.server().num_connections() == 0; }));
  EXPECT_EQ(watcher->num_calls(), 0);
}

TEST(Disconnects, DuringARequestAreOfNoInterest) {
  TestServer server;
  const std::string request = Post("/echo", "hello");
  for (size_t length = 0; length < request.size(); ++length) {
    RawClient client = server.Connect();
    client.Write(request.substr(0, length));
  }
  EXPECT_TRUE(Eventually([&] { return server.server().num_connections() == 0; }));
  EXPECT_EQ(server.handler().num_requests(), 0);
}

TEST(Disconnects, ByTheHandlerAreSeenByTheClient) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  const auto source = std::make_shared<TestSource>();
  exchange->Stream({}, source);
  source->Give("first");
  exchange->Wake();
  EXPECT_FALSE(client.ReadSome().empty());
  exchange->Abort();
  EXPECT_TRUE(client.EndsWithin(milliseconds(1000)));
  ASSERT_NE(source->WaitUntilDone(), nullptr);
  EXPECT_EQ(*source->WaitUntilDone(), BodySource::Outcome::kGone);
}

}  // namespace
}  // namespace phalanx::http::testing
