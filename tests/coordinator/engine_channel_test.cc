// Worker groups that come, go, and must not come.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using testing::FakeEngine;
using testing::FakeEngineHandlers;
using ::testing::HasSubstr;
using testing::StreamResult;
using testing::TestService;
using testing::TextRequest;

grpc::Status Ask(TestService& service) {
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  return TestService::ReadAll(*reader).status;
}

TEST(EngineChannelTest, RequestsBeforeRegistrationAreUnavailable) {
  TestService service;
  const grpc::Status status = Ask(service);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("loading"));
}

TEST(EngineChannelTest, AKilledGroupEndsItsStreamsAndAnotherMayFollow) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  const uint64_t first_epoch = engine.epoch();
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  engine.Send(FakeEngine::Output(service.submits().Pop().request(), 0, service.Encode("so far")));
  v1::StreamResponse message;
  ASSERT_TRUE(reader->Read(&message));
  service.DropEngine();
  const StreamResult result = TestService::ReadAll(*reader);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(result.status.error_message(), HasSubstr("worker group lost"));
  EXPECT_TRUE(service.WaitForState(ServingState::kUnavailable));
  EXPECT_EQ(Ask(service).error_code(), grpc::StatusCode::UNAVAILABLE);

  EXPECT_GT(service.AttachEngine().epoch(), first_epoch);
  EXPECT_TRUE(service.WaitForState(ServingState::kReady));
}

TEST(EngineChannelTest, TheFirstErrorIsTheOneThatClientsRead) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  service.submits().Pop();
  engine.SendFatal("rank 2: out of memory");
  engine.Leave();
  const grpc::Status status = TestService::ReadAll(*reader).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "worker group lost: rank 2: out of memory");
  EXPECT_THAT(Ask(service).error_message(), HasSubstr("rank 2: out of memory"));
}

TEST(EngineChannelTest, AWrongTokenIsRefused) {
  TestService service;
  internal::Register registration = FakeEngine::DefaultRegistration(service.model().vocab_size());
  registration.set_token(std::string(64, '0'));
  FakeEngine engine(service.engine_socket(), registration, {});
  EXPECT_FALSE(engine.WaitForWelcome());
  EXPECT_THAT(engine.error(), HasSubstr("register.token"));
  EXPECT_EQ(service.frontend().state(), ServingState::kLoading);
}

TEST(EngineChannelTest, ASecondGroupAndAnotherModelAreRefused) {
  TestService service;
  {
    FakeEngine other(service.engine_socket(), FakeEngine::DefaultRegistration(17), {});
    EXPECT_FALSE(other.WaitForWelcome());
    EXPECT_THAT(other.error(), HasSubstr("register.vocab_size: is 17"));
  }
  service.AttachEngine();
  FakeEngine second(service.engine_socket(),
                    FakeEngine::DefaultRegistration(service.model().vocab_size()), {});
  EXPECT_FALSE(second.WaitForWelcome());
  EXPECT_THAT(second.error(), HasSubstr("attached already"));
  EXPECT_EQ(service.frontend().state(), ServingState::kReady);
}

TEST(EngineChannelTest, SocketAndTokenArePrivate) {
  TestService service;
  struct stat info {};
  const std::string token_file = service.engine_socket().string() + ".token";
  ASSERT_EQ(stat(token_file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  ASSERT_EQ(stat(service.engine_socket().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  std::ifstream in(token_file);
  std::string token;
  in >> token;
  EXPECT_EQ(token.size(), 64U);
}

TEST(EngineChannelTest, AWideFolderAndASocketInUseAreRefused) {
  TestService service;
  const auto in_use =
      EngineListener::Start(service.engine_socket(), service.frontend().dispatcher());
  ASSERT_FALSE(in_use.ok());
  EXPECT_THAT(in_use.status().message(), HasSubstr("in use"));
  const testing::TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0750), 0);
  const auto wide = EngineListener::Start(dir.path() / "e.sock", service.frontend().dispatcher());
  ASSERT_FALSE(wide.ok());
  EXPECT_THAT(wide.status().message(), HasSubstr("mode 0750"));
}

TEST(EngineChannelTest, AnErrorOfOneRequestKeepsItsCode) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  internal::RequestOutput output;
  output.set_request(service.submits().Pop().request());
  output.set_finish(internal::ENGINE_FINISH_ERROR);
  output.set_error("prompt: never fits the pool");
  output.set_error_code(static_cast<int>(StatusCode::kInvalidArgument));
  engine.Send(output);
  const grpc::Status status = TestService::ReadAll(*reader).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "prompt: never fits the pool");
}

TEST(EngineChannelTest, DrainingFinishesWhatWasAdmitted) {
  TestService service;
  FakeEngine& engine = service.AttachEngine();
  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, TextRequest("x"));
  const uint64_t request = service.submits().Pop().request();
  service.frontend().StartDrain();
  service.drains().Pop();
  EXPECT_EQ(service.frontend().state(), ServingState::kDraining);
  EXPECT_EQ(Ask(service).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(service.frontend().WaitForStreams(std::chrono::milliseconds(20)));
  engine.Send(
      FakeEngine::Output(request, 0, service.Encode("done"), internal::ENGINE_FINISH_LENGTH));
  const StreamResult result = TestService::ReadAll(*reader);
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(result.Text(), "done");
  EXPECT_TRUE(service.frontend().WaitForStreams(std::chrono::seconds(5)));
  engine.Leave();
  EXPECT_TRUE(service.frontend().WaitForDetach(std::chrono::seconds(5)));
}

}  // namespace
}  // namespace phalanx
