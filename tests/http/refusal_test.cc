// What the server refuses by itself, as clients see it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/http/test_server.h"

namespace phalanx::http::testing {
namespace {

using std::chrono::milliseconds;

TEST(Refusals, HaveTheErrorBodyAndEndTheConnection) {
  TestServer server;
  struct Case {
    std::string request;
    int status;
    std::string type;
  };
  const std::vector<Case> cases = {
      {"GET / HTTP/1.1\r\n\r\n", 400, "BadRequestError"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "VersionNotSupportedError"},
      {Get("/", "Content-Length: 4000000\r\n"), 413, "PayloadTooLargeError"},
      {Get(std::string(9000, '/')), 414, "UriTooLongError"},
      {Get("/", "Content-Encoding: br\r\n"), 415, "UnsupportedMediaTypeError"},
      {Get("/", "Expect: x\r\n"), 417, "ExpectationFailedError"},
      {Get("/", std::string(9000, 'a') + ": b\r\n"), 431, "HeadersTooLargeError"},
      {Get("/", "Transfer-Encoding: gzip, chunked\r\n"), 501, "NotImplementedError"},
  };
  for (const Case& refused : cases) {
    RawClient client = server.Connect();
    client.Write(refused.request);
    const ParsedResponse response = client.ReadResponse();
    EXPECT_EQ(response.status, refused.status);
    EXPECT_EQ(response.headers.at("connection"), "close");
    EXPECT_EQ(response.headers.at("content-type"), "application/json");
    const nlohmann::json error = nlohmann::json::parse(response.body).at("error");
    EXPECT_EQ(error.at("type"), refused.type);
    EXPECT_EQ(error.at("code"), refused.status);
    EXPECT_TRUE(error.at("param").is_null());
    EXPECT_FALSE(error.at("message").get<std::string>().empty());
    EXPECT_TRUE(client.EndsWithin(milliseconds(1000)));
  }
  EXPECT_EQ(server.handler().num_requests(), 0);
}

TEST(Refusals, FillNoLog) {
  std::ostringstream text;
  const auto previous = spdlog::default_logger();
  // One second, however long it takes.
  const auto begin = Clock::now();
  TestServer server({.refusals = std::make_shared<RefusalLog>([begin] { return begin; })});
  auto logger = std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text));
  logger->set_pattern("%v");
  spdlog::set_default_logger(std::move(logger));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(server.Ask("G\x07 / HTTP/1.1\r\n\r\n").status, 400);
  server.Stop();
  spdlog::set_default_logger(previous);
  const std::string log = text.str();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_THAT(log, ::testing::HasSubstr("detail=\"400 "));
}

TEST(Refusals, ReportTheRequestIdThatCameBefore) {
  TestServer server;
  for (const char* headers :
       {"Content-Length: 4000000\r\n", "Content-Encoding: br\r\n", "A : b\r\n"}) {
    RawClient client = server.Connect();
    client.Write(Get("/", std::string("X-Request-Id: mine\t1\r\n") + headers));
    EXPECT_EQ(client.ReadResponse().headers.at("x-request-id"), "mine1") << headers;
  }
  RawClient client = server.Connect();
  client.Write(Get("/", "Content-Length: 4000000\r\n"));
  EXPECT_FALSE(client.ReadResponse().headers.contains("x-request-id"));
}

TEST(Refusals, ReachClientsThatGoOnSending) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\n\r\n");
  const std::string part(100'000, 'x');
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(client.Write(part)) << i;
  const ParsedResponse response = client.ReadResponse();
  EXPECT_EQ(response.status, 413);
  EXPECT_TRUE(response.complete);
}

TEST(Refusals, OfABodyComeBeforeItIsAskedFor) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().status, 413);
}

TEST(Refusals, HitTheRequestBehindGoodOnes) {
  TestServer server;
  RawClient client = server.Connect();
  client.Write(Get("/bytes?1") + "GET / HTTP/1.1\r\nHost : a\r\n\r\n" + Get("/bytes?2"));
  EXPECT_EQ(client.ReadResponse().body, "x");
  EXPECT_EQ(client.ReadResponse().status, 400);
  EXPECT_TRUE(client.EndsWithin(milliseconds(1000)));
  EXPECT_EQ(server.handler().num_requests(), 1);
}

TEST(Refusals, OfTooManyConnectionsPassWhenOthersEnd) {
  TestServer server({.max_connections = 2});
  RawClient first = server.Connect();
  RawClient second = server.Connect();
  first.Write(Get("/bytes?1"));
  second.Write(Get("/bytes?1"));
  EXPECT_EQ(first.ReadResponse().status, 200);
  EXPECT_EQ(second.ReadResponse().status, 200);
  RawClient third = server.Connect();
  third.Write(Get("/bytes?1"));
  const ParsedResponse response = third.ReadResponse();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.headers.at("retry-after"), "1");
  EXPECT_TRUE(third.EndsWithin(milliseconds(1000)));
  third.Close();
  first.Close();
  ASSERT_TRUE(Eventually([&] { return server.server().num_connections() == 1; }));
  EXPECT_EQ(server.Ask(Get("/bytes?1")).status, 200);
}

TEST(Refusals, OfOneAddressLeaveRoomForOthers) {
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("phalanx-share-{}", ::getpid()))
          .string();
  TestServer server({.unix_socket = path, .max_connections = 8, .max_connections_per_address = 2});
  const auto hold = [](RawClient client) {
    client.Write(Get("/bytes?1"));
    EXPECT_EQ(client.ReadResponse().status, 200);
    return client;
  };
  std::vector<RawClient> held;
  for (int i = 0; i < 2; ++i) held.push_back(hold(server.Connect()));
  for (int i = 0; i < 50; ++i) {
    RawClient beyond = server.Connect();
    beyond.Write(Get("/bytes?1"));
    const ParsedResponse response = beyond.ReadResponse();  // none: it was just closed
    EXPECT_TRUE(response.status == 429 || response.status == 0) << response.status;
    if (i == 0) {
      EXPECT_EQ(response.headers.at("retry-after"), "1");
      EXPECT_NE(response.body.find("your address has 2 connections"), std::string::npos);
    }
  }
  for (int i = 0; i < 4; ++i) held.push_back(hold(RawClient(path)));
  held.clear();
  ASSERT_TRUE(Eventually([&] { return server.server().num_connections() == 0; }));
  EXPECT_EQ(server.Ask(Get("/bytes?1")).status, 200);
}

TEST(Refusals, SpareThisHostsAddressesByDefault) {
  TestServer server({.max_connections = 4});
  std::vector<RawClient> held;
  for (int i = 0; i < 4; ++i) {
    held.push_back(server.Connect());
    held.back().Write(Get("/bytes?1"));
    EXPECT_EQ(held.back().ReadResponse().status, 200) << i;
  }
}

TEST(Refusals, KeepBodiesWithinTheirMemory) {
  TestServer server({.max_body_memory_bytes = 100'000});
  const std::string body(60'000, 'x');
  RawClient holder = server.Connect();
  holder.Write(Post("/hold", body));
  const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
  EXPECT_EQ(server.Ask(Post("/echo", body + body)).status, 503);
  exchange->Send({});
  EXPECT_EQ(holder.ReadResponse().status, 200);
  EXPECT_EQ(server.Ask(Post("/echo", body)).body, body);
}

TEST(Refusals, OfAHeadComeBeforeTheBodyIsRead) {
  TestServer server;
  constexpr std::string_view kHeads[] = {"Content-Length: 2000000\r\n",
                                         "Content-Length: 2000000\r\nExpect: 100-continue\r\n",
                                         "Transfer-Encoding: chunked\r\n"};
  for (const std::string_view head : kHeads) {
    RawClient client = server.Connect();
    client.Write(fmt::format("POST /echo HTTP/1.1\r\nHost: a\r\nRefused: x\r\n{}\r\n", head));
    const ParsedResponse response = client.ReadResponse();
    EXPECT_EQ(response.status, 401) << head;
    EXPECT_EQ(response.headers.at("connection"), "close");
    EXPECT_TRUE(response.body.starts_with("127.0.0.1:")) << response.body;
    EXPECT_TRUE(client.EndsWithin(milliseconds(5000)));
  }
  // One that came along with its head is no other case.
  EXPECT_EQ(server.Ask(Post("/echo", "x", "Refused: x\r\n")).status, 401);
  EXPECT_EQ(server.handler().num_requests(), 0);
  EXPECT_EQ(server.Ask(Post("/echo", "x")).body, "x");
  EXPECT_EQ(server.Ask(Get("/bytes?1", "Refused: x\r\n")).status, 200) << "it has no body";
}

TEST(Refusals, OfAHeadLeaveTheBodiesMemoryToOthers) {
  TestServer server({.max_body_memory_bytes = 100'000});
  std::vector<RawClient> strangers;
  for (int i = 0; i < 20; ++i) {
    strangers.push_back(server.Connect());
    strangers.back().Write(
        "POST /echo HTTP/1.1\r\nHost: a\r\nRefused: x\r\nContent-Length: "
        "50000\r\n\r\n" +
        std::string(40'000, 'x'));
    EXPECT_EQ(strangers.back().ReadResponse().status, 401);
  }
  const std::string body(90'000, 'x');
  EXPECT_EQ(server.Ask(Post("/echo", body)).body, body);
}

}  // namespace
}  // namespace phalanx::http::testing
