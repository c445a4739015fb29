// A rank tells a real coordinator why its group ends.
#include "worker/loss_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using testing::FakeEngine;
using ::testing::HasSubstr;
using testing::StreamResult;
using testing::TestService;
using testing::TextRequest;

constexpr int kPid = 4321;

class LossReportTest : public ::testing::Test {
 protected:
  LossReportTest() {
    internal::Register registration =
        FakeEngine::DefaultRegistration(static_cast<int32_t>(service_.model().vocab_size()));
    registration.set_pid(kPid);
    service_.AttachEngine(registration);
    reader_ = service_.stub().GenerateStream(&context_, TextRequest("x"));
    service_.submits().Pop();
  }
  Status Report(int pid) {
    return SendLossReport({.socket = service_.engine_socket(),
                           .rank0_pid = pid,
                           .reason = "rank 2 (host here, pid 5) died"});
  }

  TestService service_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::StreamResponse>> reader_;
};

TEST_F(LossReportTest, EndsTheGroupsStreamsWithTheReason) {
  const Status status = Report(kPid);
  EXPECT_TRUE(status.ok()) << status;
  const StreamResult result = TestService::ReadAll(*reader_);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(result.status.error_message(), HasSubstr("rank 2 (host here, pid 5) died"));
  EXPECT_TRUE(service_.WaitForState(ServingState::kUnavailable));
  EXPECT_TRUE(Report(kPid).ok());  // the group is known to be lost already
}

TEST_F(LossReportTest, LeavesAnotherGroupAlone) {
  EXPECT_TRUE(Report(kPid + 1).ok());
  EXPECT_EQ(service_.frontend().state(), ServingState::kReady);
}

TEST_F(LossReportTest, NeedsTheToken) {
  std::ofstream(service_.engine_socket().string() + ".token") << "guess";
  EXPECT_EQ(Report(kPid).code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(service_.frontend().state(), ServingState::kReady);
}

TEST(LossReport, DoesNotWaitForACoordinatorThatIsGone) {
  const Status status = SendLossReport({.socket = "/nonexistent/engine.sock", .reason = "it died"});
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("/nonexistent/engine.sock.token"));
}

}  // namespace
}  // namespace phalanx
