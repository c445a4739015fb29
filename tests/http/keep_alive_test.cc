#include <gtest/gtest.h>

#include "tests/http/test_server.h"

namespace phalanx::http::testing {
namespace {

using std::chrono::milliseconds;

TEST(KeepAlive, ServesOneRequestAfterTheOther) {
  TestServer server;
  RawClient client = server.Connect();
  for (int i = 0; i < 100; ++i) {
    client.Write(Post("/echo", std::to_string(i)));
    ASSERT_EQ(client.ReadResponse().body, std::to_string(i));
  }
  EXPECT_EQ(server.server().num_connections(), 1);
}

TEST(KeepAlive, AnswersPipelinedRequestsInOrder) {
  TestServer server;
  RawClient client = server.Connect();
  std::string burst;
  constexpr int kNumRequests = 1000;
  for (int i = 0; i < kNumRequests; ++i) {
    burst +=
        i % 3 == 0 ? Get("/stream?" + std::to_string(i % 7)) : Post("/echo", std::to_string(i));
  }
  ASSERT_TRUE(client.Write(burst));
  for (int i = 0; i < kNumRequests; ++i) {
    std::string expected = std::to_string(i);
    if (i % 3 == 0) {
      expected.clear();
      for (int line = 0; line < i % 7; ++line) expected += std::to_string(line) + "\n";
    }
    ASSERT_EQ(client.ReadResponse().body, expected);
  }
}

TEST(KeepAlive, ReadsAheadNoMoreThanItMay) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  // More than the buffers of both kernels hold, so that it can only go out if the server reads it.
  const int before = server.handler().num_requests();
  ASSERT_TRUE(client.Write(Get("/bytes?1") + Get("/bytes?2")));
  EXPECT_FALSE(client.EndsWithin(milliseconds(50)));
  EXPECT_EQ(server.handler().num_requests(), before);
  exchange->Send({.body = "held"});
  EXPECT_EQ(client.ReadResponse().body, "held");
  EXPECT_EQ(client.ReadResponse().body, "x");
  EXPECT_EQ(client.ReadResponse().body, "xx");
}

TEST(KeepAlive, GoesOnAfterReadAheadWasFull) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  const std::string body(40'000, 'b');  // more than max_read_ahead_bytes
  ASSERT_TRUE(client.Write(Post("/echo", body) + Post("/echo", body)));
  EXPECT_FALSE(client.EndsWithin(milliseconds(50)));
  exchange->Send({.body = "held"});
  EXPECT_EQ(client.ReadResponse().body, "held");
  EXPECT_EQ(client.ReadResponse().body, body);
  EXPECT_EQ(client.ReadResponse().body, body);
}

TEST(KeepAlive, EndsWhereTheClientSaysSo) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/bytes?1", "Connection: close\r\n"));
  EXPECT_EQ(client.ReadResponse().headers.at("connection"), "close");
  EXPECT_TRUE(client.EndsWithin(milliseconds(1000)));
}

TEST(KeepAlive, EndsWithHttp10) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write("GET /bytes?3 HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().body, "xxx");
  EXPECT_TRUE(client.EndsWithin(milliseconds(1000)));
  RawClient streaming = server.Connect();
  streaming.Write("GET /stream?3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const ParsedResponse response = streaming.ReadResponse();
  EXPECT_FALSE(response.headers.contains("transfer-encoding"));
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_EQ(response.body, "0\n1\n2\n");
}

TEST(KeepAlive, GoesOnWithHttp10WhereTheClientSaysSo) {
  TestServer server;
  RawClient client = server.Connect();
  for (int i = 1; i < 4; ++i) {
    client.Write("GET /bytes?" + std::to_string(i) + " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const ParsedResponse response = client.ReadResponse();
    EXPECT_EQ(response.headers.at("connection"), "keep-alive");
    EXPECT_EQ(response.body, std::string(static_cast<size_t>(i), 'x'));
  }
  client.Write("GET /bytes?1 HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().headers.at("connection"), "close");
  EXPECT_TRUE(client.EndsWithin(milliseconds(1000)));
}

TEST(KeepAlive, AnswersWhoClosedItsSideAfterAsking) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/bytes?1") + Get("/bytes?2"));
  client.ShutdownWrite();
  EXPECT_EQ(client.ReadResponse().body, "x");
  EXPECT_EQ(client.ReadResponse().body, "xx");
  EXPECT_TRUE(client.EndsWithin(milliseconds(1000)));
}

}  // namespace
}  // namespace phalanx::http::testing
