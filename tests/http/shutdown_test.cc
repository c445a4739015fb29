#include <gtest/gtest.h>

#include <thread>

#include "tests/http/test_server.h"

namespace phalanx::http::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(Shutdown, ClosesIdleConnectionsAtOnceAndLetsAnswersFinish) {
  TestServer server;
  RawClient idle = server.Connect();
  idle.Write(Get("/bytes?1"));
  EXPECT_EQ(idle.ReadResponse().status, 200);
  RawClient waiting = server.Connect();
  waiting.Write(Get("/hold"));
  const std::shared_ptr<Exchange> whole = server.handler().TakeHeld();
  RawClient streaming = server.Connect();
  streaming.Write(Get("/hold"));
  const std::shared_ptr<Exchange> stream = server.handler().TakeHeld();
  const auto source = std::make_shared<TestSource>();
  stream->Stream({}, source);
  source->Give("a");
  stream->Wake();

  std::jthread shutdown(
      [&] { server.server().Shutdown(steady_clock::now() + std::chrono::seconds(10)); });
  EXPECT_TRUE(idle.EndsWithin(milliseconds(2000)));
  EXPECT_FALSE(RawClient(server.port()).connected());
  std::this_thread::sleep_for(milliseconds(50));  // the other loop hears of it, too
  whole->Send({.body = "whole"});
  const ParsedResponse response = waiting.ReadResponse();
  EXPECT_EQ(response.body, "whole");
  EXPECT_TRUE(response.headers.contains("connection"));
  source->Give("b");
  source->End();
  stream->Wake();
  EXPECT_EQ(streaming.ReadResponse().body, "ab");
  const auto begin = steady_clock::now();
  shutdown.join();
  EXPECT_LT(steady_clock::now() - begin, milliseconds(2000));
  EXPECT_EQ(server.server().num_connections(), 0);
}

TEST(Shutdown, CutsWhatIsLeftAtTheDeadline) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  const auto watcher = std::make_shared<TestWatcher>();
  exchange->Watch(watcher);
  const auto begin = steady_clock::now();
  server.server().Shutdown(begin + milliseconds(100));
  EXPECT_GE(steady_clock::now() - begin, milliseconds(100));
  EXPECT_EQ(watcher->num_calls(), 1);
  EXPECT_TRUE(client.EndsWithin(milliseconds(1000)));
}

TEST(Shutdown, MayBeRepeatedAndFollowStopAccepting) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/bytes?1"));
  EXPECT_EQ(client.ReadResponse().status, 200);
  server.server().StopAccepting();
  EXPECT_FALSE(RawClient(server.port()).connected());
  client.Write(Get("/bytes?1"));
  EXPECT_EQ(client.ReadResponse().status, 200);
  server.server().StopAccepting();
  server.server().Shutdown(steady_clock::now());
  server.server().Shutdown(steady_clock::now());
}

TEST(Shutdown, FreesThePort) {
  TestServer first;
  RawClient client = first.Connect();
  client.Write(Get("/bytes?1"));
  EXPECT_EQ(client.ReadResponse().status, 200);
  const int port = first.port();
  first.Stop();
  const auto second = Server::Start({.port = port}, std::make_shared<TestHandler>());
  EXPECT_TRUE(second.ok()) << second.status();
}

}  // namespace
}  // namespace phalanx::http::testing
