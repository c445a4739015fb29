// grpc.health.v1 through the life of a service.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::FakeEngine;
using ::testing::HasSubstr;
using testing::TestService;
using testing::TextRequest;

grpc::Status Check(TestService& service, const std::string& name, HealthCheckResponse* response) {
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service(name);
  return Health::NewStub(service.channel())->Check(&context, request, response);
}

TEST(HealthTest, CheckKnowsTheServerAndTheServiceOnly) {
  TestService service;
  HealthCheckResponse response;
  for (const char* name : {"", "phalanx.v1.Inference"}) {
    ASSERT_TRUE(Check(service, name, &response).ok());
    EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING) << "while loading";
  }
  service.AttachEngine();
  for (const char* name : {"", "phalanx.v1.Inference"}) {
    ASSERT_TRUE(Check(service, name, &response).ok());
    EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  }
  EXPECT_EQ(Check(service, "no.such.Service", &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(HealthTest, WatchSeesEveryTransition) {
  TestService service;
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service("phalanx.v1.Inference");
  auto reader = Health::NewStub(service.channel())->Watch(&context, request);
  const auto next = [&] {
    HealthCheckResponse response;
    EXPECT_TRUE(reader->Read(&response));
    return response.status();
  };
  EXPECT_EQ(next(), HealthCheckResponse::NOT_SERVING);
  service.AttachEngine();
  EXPECT_EQ(next(), HealthCheckResponse::SERVING);
  service.DropEngine();
  EXPECT_EQ(next(), HealthCheckResponse::NOT_SERVING);
  service.AttachEngine();
  EXPECT_EQ(next(), HealthCheckResponse::SERVING);
  service.frontend().StartDrain();
  EXPECT_EQ(next(), HealthCheckResponse::NOT_SERVING);
  context.TryCancel();
}

TEST(HealthTest, AnIdleConnectionIsClosedAndTheNextCallOpensAnother) {
  Limits limits;
  limits.max_idle_time = std::chrono::milliseconds(100);
  TestService service(limits);
  HealthCheckResponse response;
  ASSERT_TRUE(Check(service, "", &response).ok());
  EXPECT_TRUE(service.channel()->WaitForStateChange(
      GRPC_CHANNEL_READY, std::chrono::system_clock::now() + std::chrono::seconds(10)));
  EXPECT_TRUE(Check(service, "", &response).ok());
}

bool IsServing(TestService& service) {
  HealthCheckResponse response;
  EXPECT_TRUE(Check(service, "", &response).ok());
  return response.status() == HealthCheckResponse::SERVING;
}

v1::ServerInfo InfoOf(TestService& service) { return service.frontend().GetServerInfo(); }

TEST(HealthTest, ASilentGroupIsNotServingUntilItSpeaksAgain) {
  Limits limits;
  limits.max_engine_stall = std::chrono::milliseconds(500);
  TestService service(limits);
  FakeEngine& engine = service.AttachEngine();
  engine.Hush();
  EXPECT_TRUE(service.WaitForState(ServingState::kUnavailable)) << "idle";
  EXPECT_FALSE(IsServing(service));
  EXPECT_THAT(InfoOf(service).state_reason(), HasSubstr("rank 0 (pid 0) has been silent for 0."));
  // It is not refused what it may come to.
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  const uint64_t request = service.submits().Pop().request();
  EXPECT_FALSE(IsServing(service));
  engine.Send(
      FakeEngine::Output(request, 0, service.Encode("late"), internal::ENGINE_FINISH_LENGTH));
  EXPECT_TRUE(service.WaitForState(ServingState::kReady));
  EXPECT_TRUE(TestService::ReadAll(*reader).status.ok());
}

TEST(HealthTest, AStallThatTheGroupReportsIsToldInItsWords) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  engine.Hush();
  internal::Pulse pulse;
  pulse.set_stalled_ms(2'500);
  pulse.set_reason("rank 1 sleeps");
  engine.SendPulse(pulse);
  internal::EngineStats stats;
  stats.set_num_waiting(7);
  engine.SendStats(stats);
  for (int i = 0; i < 10'000 && InfoOf(service).num_waiting() != 7; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(IsServing(service)) << "less than --max-engine-stall";
  pulse.set_stalled_ms(3'250);
  engine.SendPulse(pulse);
  EXPECT_TRUE(service.WaitForState(ServingState::kUnavailable));
  EXPECT_FALSE(IsServing(service));
  EXPECT_EQ(InfoOf(service).state_reason(), "rank 1 sleeps");
  engine.SendStats(stats);  // rank 0 runs, which says nothing of the others
  EXPECT_FALSE(IsServing(service));
  engine.SendPulse({});
  EXPECT_TRUE(service.WaitForState(ServingState::kReady));
  EXPECT_EQ(InfoOf(service).state_reason(), "");
}

TEST(HealthTest, AStallChangesNothingOfADrain) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  service.frontend().StartDrain();
  internal::Pulse pulse;
  pulse.set_stalled_ms(60'000);
  engine.SendPulse(pulse);
  engine.SendPulse({});
  engine.SendStats({});
  EXPECT_TRUE(service.WaitForState(ServingState::kDraining));
  EXPECT_FALSE(IsServing(service));
}

}  // namespace
}  // namespace phalanx
