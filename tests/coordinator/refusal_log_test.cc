#include "coordinator/core/refusal_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>
#include <vector>

#include "coordinator/core/api_keys.h"
#include "coordinator/grpc/handshake_log.h"
#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class RefusalLogTest : public ::testing::Test {
 protected:
  RefusalLogTest() {
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(std::move(logger));
  }
  ~RefusalLogTest() override { spdlog::set_default_logger(previous_); }

  // The log so far, line by line, and nothing afterwards.
  std::vector<std::string> TakeLines() {
    std::vector<std::string> lines;
    std::istringstream in(text_.str());
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    text_.str("");
    return lines;
  }

  const std::shared_ptr<spdlog::logger> previous_ = spdlog::default_logger();
  std::ostringstream text_;
  Clock::time_point now_{std::chrono::hours(1)};
  RefusalLog log_{[this] { return now_; }};
};

TEST_F(RefusalLogTest, WritesALineASecondOfEachKindAndCountsTheOthers) {
  const Refused unknown{.kind = RefusalKind::kUnknownKey, .peer = "192.0.2.1:5", .detail = {}};
  for (int i = 0; i < 1000; ++i) log_.Add(unknown);
  EXPECT_EQ(TakeLines(), std::vector<std::string>{"warning refused protocol=http peer=192.0.2.1:5 "
                                                  "reason=\"an API key that is not known\""});
  // Others are not left out because of it.
  log_.Add({.kind = RefusalKind::kNoKey, .peer = {}, .detail = {}});
  log_.Add({.protocol = FrontProtocol::kGrpc,
            .kind = RefusalKind::kUnknownKey,
            .peer = {},
            .detail = {}});
  const std::vector<std::string> others = TakeLines();
  ASSERT_EQ(others.size(), 2U);
  EXPECT_THAT(others[0], HasSubstr("peer=unknown reason=\"no API key\""));
  EXPECT_THAT(others[1], HasSubstr("protocol=grpc"));

  now_ += std::chrono::milliseconds(999);
  log_.Add(unknown);
  EXPECT_TRUE(TakeLines().empty());
  now_ += std::chrono::milliseconds(1);
  log_.Add(unknown);
  const std::vector<std::string> next = TakeLines();
  ASSERT_EQ(next.size(), 1U);
  EXPECT_THAT(next[0], ::testing::EndsWith("left_out=1000"));
  now_ += std::chrono::seconds(1);
  log_.Add(unknown);
  EXPECT_THAT(TakeLines().at(0), Not(HasSubstr("left_out")));
}

TEST_F(RefusalLogTest, EscapesWhatItDoesNotKnow) {
  log_.Add({.kind = RefusalKind::kHandshake, .peer = {}, .detail = "a\nb\x1b[2J"});
  EXPECT_THAT(TakeLines().at(0), HasSubstr(R"(detail="a\x0ab\x1b[2J")"));
}

TEST_F(RefusalLogTest, SaysWhatWasWrongWithAMalformedRequest) {
  const Refused malformed{.kind = RefusalKind::kMalformed,
                          .peer = "192.0.2.1:5",
                          .detail = R"(400 method: is "G\x07", allowed: a token)"};
  for (int i = 0; i < 1000; ++i) log_.Add(malformed);
  EXPECT_EQ(TakeLines(),
            std::vector<std::string>{"warning refused protocol=http peer=192.0.2.1:5 reason=\"a "
                                     "request that is not read\" detail=\"400 method: is "
                                     R"('G\x07', allowed: a token")"});
}

TEST_F(RefusalLogTest, HearsOfEveryCallWithoutAGoodKeyAndNeverTheKey) {
  std::vector<ApiKey> keys = {{.id = "alice", .digest = Sha256("sk-good"), .expires = {}},
                              {.id = "old",
                               .digest = Sha256("sk-old"),
                               .expires = std::chrono::sys_days(std::chrono::days(1))}};
  testing::TestService service({}, {.model_dir = testing::DemoModel()},
                               std::make_shared<RequestObserver>(),
                               std::make_shared<ApiKeys>(std::move(keys)));
  TakeLines();
  const auto ask = [&](const char* authorization) {
    grpc::ClientContext context;
    if (authorization != nullptr) context.AddMetadata("authorization", authorization);
    v1::ModelInfo info;
    return service.stub().GetModelInfo(&context, {}, &info).error_code();
  };
  EXPECT_EQ(ask(nullptr), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ask("Bearer sk-wrong"), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ask("Bearer sk-old"), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ask("Bearer sk-good"), grpc::StatusCode::OK);
  const std::vector<std::string> lines = TakeLines();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines[0], HasSubstr("peer=ipv4:127.0.0.1:"));
  EXPECT_THAT(lines[0], HasSubstr("no API key"));
  EXPECT_THAT(lines[1], HasSubstr("not known"));
  EXPECT_THAT(lines[2], HasSubstr("reason=\"an API key that has expired\" key=old"));
  for (const std::string& line : lines) EXPECT_THAT(line, Not(HasSubstr("sk-")));
}

TEST(HandshakeLineTest, SaysWhyAndPassesOverWhoLeft) {
  Refused refused;
  ASSERT_TRUE(ReadHandshakeLine(
      "Handshaking failed: UNKNOWN:Ssl handshake failed: SSL_ERROR_SSL: error:0A0000C7:SSL "
      "routines::peer did not return a certificate {file:\"x.cc\", tsi_code:10}",
      &refused));
  EXPECT_EQ(refused.protocol, FrontProtocol::kGrpc);
  EXPECT_EQ(refused.kind, RefusalKind::kHandshake);
  EXPECT_EQ(refused.detail, "peer did not return a certificate");
  ASSERT_TRUE(ReadHandshakeLine(
      "Handshaking failed: UNKNOWN:Handshake read failed {children:[UNKNOWN:FD Shutdown "
      "{children:[UNKNOWN:Handshake timed out {file_line:167}]}]}",
      &refused));
  EXPECT_EQ(refused.kind, RefusalKind::kHandshakeTimeout);
  EXPECT_FALSE(ReadHandshakeLine(
      "Handshaking failed: UNKNOWN:Handshake read failed {children:[UNKNOWN:Socket closed]}",
      &refused));
  EXPECT_FALSE(ReadHandshakeLine("Security handshake failed: SSL routines::x {", &refused));
}

}  // namespace
}  // namespace phalanx
