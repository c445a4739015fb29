// grpc.health.v1 through the life of a service.
#include <gtest/gtest.h>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::FakeEngine;
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

TEST(HealthTest, AGroupThatMakesNoProgressIsNotServing) {
  Limits limits;
  limits.max_engine_stall = std::chrono::milliseconds(200);
  TestService service(limits);
  FakeEngine& engine = service.AttachEngine();
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  const uint64_t request = service.submits().Pop().request();
  EXPECT_TRUE(service.WaitForState(ServingState::kUnavailable));
  HealthCheckResponse response;
  ASSERT_TRUE(Check(service, "", &response).ok());
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  engine.Send(
      FakeEngine::Output(request, 0, service.Encode("late"), internal::ENGINE_FINISH_LENGTH));
  EXPECT_TRUE(TestService::ReadAll(*reader).status.ok());
  EXPECT_TRUE(service.WaitForState(ServingState::kReady));
}

}  // namespace
}  // namespace phalanx
