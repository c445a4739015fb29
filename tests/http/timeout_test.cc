#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/http/test_server.h"

namespace phalanx::http::testing {
namespace {

using std::chrono::milliseconds;

TEST(Timeouts, OfHeadersHoldForWhoSendsThemSlowly) {
  TestServer server({.timeouts = {.header = milliseconds(200)}});
  RawClient client = server.Connect();
  client.Write("GET / HTTP/1.1\r\n");
  const auto begin = std::chrono::steady_clock::now();
  // Sending on does not help.
  for (int i = 0; i < 10 && client.Write("A: b\r\n"); ++i) {
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_EQ(client.ReadResponse().status, 408);
  EXPECT_TRUE(client.EndsWithin(milliseconds(1000)));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(200));
}

TEST(Timeouts, OfBodiesHoldForTheWholeBody) {
  TestServer server({.timeouts = {.body = milliseconds(200)}});
  RawClient client = server.Connect();
  client.Write("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
  for (int i = 0; i < 10 && client.Write("x"); ++i) std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(client.ReadResponse().status, 408);
  EXPECT_EQ(server.handler().num_requests(), 0);
}

TEST(Timeouts, OfIdleConnectionsCloseThemSilently) {
  TestServer server({.timeouts = {.idle = milliseconds(200)}});
  RawClient fresh = server.Connect();
  RawClient used = server.Connect();
  used.Write(Get("/bytes?1"));
  EXPECT_EQ(used.ReadResponse().body, "x");
  EXPECT_FALSE(used.EndsWithin(milliseconds(100)));
  EXPECT_EQ(fresh.ReadToEnd(), "");
  EXPECT_EQ(used.ReadToEnd(), "");
  EXPECT_TRUE(Eventually([&] { return server.server().num_connections() == 0; }));
}

TEST(Timeouts, DoNotHitWhoIsServed) {
  TestServer server({.timeouts = {.header = milliseconds(150),
                                  .body = milliseconds(150),
                                  .idle = milliseconds(150),
                                  .stalled_write = milliseconds(150)}});
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  EXPECT_FALSE(client.EndsWithin(milliseconds(300)));
  const auto source = std::make_shared<TestSource>();
  exchange->Stream({}, source);
  source->Give("a");
  exchange->Wake();
  EXPECT_FALSE(client.EndsWithin(milliseconds(300)));  // takes the head and the first piece
  source->End();
  exchange->Wake();
  ASSERT_NE(source->WaitUntilDone(), nullptr);
  EXPECT_EQ(*source->WaitUntilDone(), BodySource::Outcome::kDelivered);
}

TEST(Timeouts, CutReadersThatStopWithoutHurtingOthers) {
  TestServer server({.num_threads = 1, .timeouts = {.stalled_write = milliseconds(300)}});
  RawClient stalled = server.Connect();
  stalled.SetReceiveBuffer(4096);
  stalled.Write(Get("/flood"));
  RawClient whole = server.Connect();
  whole.SetReceiveBuffer(4096);
  whole.Write(Get("/bytes?30000000"));
  RawClient other = server.Connect();
  for (int i = 0; i < 100; ++i) {
    other.Write(Get("/stream?10"));
    ASSERT_EQ(other.ReadResponse().body.size(), 20);
  }
  EXPECT_TRUE(Eventually([&] { return server.server().num_connections() == 1; }));
  EXPECT_EQ(server.handler().num_gone(), 1);
}

TEST(Timeouts, DoNotCutReadersThatAreSlow) {
  constexpr size_t kBytes = 60'000'000;  // more than the first loop can read
  TestServer server({.timeouts = {.stalled_write = milliseconds(500)}});
  RawClient slow = server.Connect();
  slow.SetReceiveBuffer(64 << 10);
  slow.Write(Get(fmt::format("/bytes?{}", kBytes)));
  size_t total = 0;
  // Far longer than the timeout in all, never longer without a byte.
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begin < milliseconds(1500)) {
    const std::string bytes = slow.ReadSome(100'000);
    ASSERT_FALSE(bytes.empty());
    total += bytes.size();
    std::this_thread::sleep_for(milliseconds(5));
  }
  while (total < kBytes) {
    const std::string bytes = slow.ReadSome(100'000);
    ASSERT_FALSE(bytes.empty());
    total += bytes.size();
  }
}

}  // namespace
}  // namespace phalanx::http::testing
