// What a handler sees and what its answers become.
#include <gtest/gtest.h>

#include "tests/http/test_server.h"

namespace phalanx::http::testing {
namespace {

TEST(Exchange, CarriesTheRequest) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Post("/hold?q=1", "body", "X-A: b\r\n"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  ASSERT_NE(exchange, nullptr);
  const Request& request = exchange->request();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/hold");
  EXPECT_EQ(request.query, "q=1");
  EXPECT_EQ(request.body, "body");
  EXPECT_EQ(request.FindHeader("x-a"), "b");
  EXPECT_TRUE(request.peer.starts_with("127.0.0.1:")) << request.peer;
  exchange->Send({.status = 201, .headers = {{"X-B", "c"}}, .content_type = "a/b", .body = "done"});
  const ParsedResponse response = client.ReadResponse();
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.body, "done");
  EXPECT_EQ(response.headers.at("content-type"), "a/b");
  EXPECT_EQ(response.headers.at("x-b"), "c");
  EXPECT_EQ(response.headers.at("server"), "phalanx");
  EXPECT_TRUE(response.headers.at("date").ends_with(" GMT"));
  EXPECT_FALSE(response.headers.contains("connection"));
}

TEST(Exchange, TakesRequestsByteByByte) {
  TestServer server;
  RawClient client = server.Connect();
  ASSERT_TRUE(client.WriteBytewise(Post("/echo", "hello")));
  EXPECT_EQ(client.ReadResponse().body, "hello");
  ASSERT_TRUE(
      client.WriteBytewise("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                           "\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nA: b\r\n\r\n"));
  EXPECT_EQ(client.ReadResponse().body, "abcde");
}

TEST(Exchange, EchoesLargeBodies) {
  TestServer server;
  std::string body(2 << 20, 'a');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  RawClient client = server.Connect();
  ASSERT_TRUE(client.Write(Post("/echo", body)));
  EXPECT_EQ(client.ReadResponse().body, body);
}

TEST(Exchange, AnswersHeadLikeGetWithoutTheBody) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write("HEAD /bytes?1000 HTTP/1.1\r\nHost: a\r\n\r\n");
  const ParsedResponse head = client.ReadResponse(ExpectBody::kNo);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-length"), "1000");
  client.Write("HEAD /stream?3 HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.ReadResponse(ExpectBody::kNo).headers.at("transfer-encoding"), "chunked");
  client.Write(Get("/bytes?2"));
  EXPECT_EQ(client.ReadResponse().body, "xx");
  EXPECT_EQ(server.handler().num_delivered(), 1);
}

TEST(Exchange, HandsMethodsToTheRouter) {
  TestServer server;
  EXPECT_EQ(server.Ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").body, "OPTIONS *");
  EXPECT_EQ(server.Ask("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n").body, "BREW /pot");
}

TEST(Exchange, ContinuesWhereTheClientExpectsIt) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().status, 100);
  client.Write("abc");
  const ParsedResponse response = client.ReadResponse();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "abc");
  // What is there already needs no leave.
  client.Write(Post("/echo", "def", "Expect: 100-continue\r\n"));
  EXPECT_EQ(client.ReadResponse().body, "def");
}

TEST(Exchange, LetGoOfIsAnsweredForTheHandler) {
  TestServer server;
  const ParsedResponse response = server.Ask(Get("/drop"));
  EXPECT_EQ(response.status, 500);
  EXPECT_NE(response.body.find("\"code\":500"), std::string::npos);
}

TEST(Exchange, IsAnsweredOnce) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  exchange->Send({.body = "first"});
  exchange->Send({.body = "second"});
  EXPECT_EQ(client.ReadResponse().body, "first");
  client.Write(Get("/bytes?1"));
  EXPECT_EQ(client.ReadResponse().body, "x");
}

TEST(Exchange, MayOutliveItsConnectionAndTheServer) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/hold"));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  server.Stop();
  EXPECT_EQ(exchange->request().path, "/hold");
  exchange->Wake();
  exchange->Abort();
  const auto watcher = std::make_shared<TestWatcher>();
  exchange->Watch(watcher);
  EXPECT_EQ(watcher->num_calls(), 1);
  const auto source = std::make_shared<TestSource>();
  exchange->Stream({}, source);
  ASSERT_NE(source->WaitUntilDone(), nullptr);
  EXPECT_EQ(*source->WaitUntilDone(), BodySource::Outcome::kGone);
}

}  // namespace
}  // namespace phalanx::http::testing
