// The arithmetic of admission, on a clock of its own.
#include "coordinator/core/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phalanx {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr Clock::time_point kNever = Clock::time_point::max();
constexpr int32_t kPlaces = 4;
constexpr int32_t kStepTokens = 100;

class AdmissionTest : public ::testing::Test {
 protected:
  AdmissionTest() { admission_.Reset(kPlaces, kStepTokens); }

  static Limits MakeLimits() {
    Limits limits;
    limits.max_waiting = 100;
    limits.max_first_token_wait = seconds(10);
    return limits;
  }
  void Enter(int64_t prompt_tokens) { admission_.Enter(1, prompt_tokens, now_); }
  Status Check(int64_t prompt_tokens, Clock::time_point deadline = kNever) {
    return admission_.Check(1, prompt_tokens, deadline, now_);
  }
  // Two prompts of 500 tokens wait; one is taken up after a second: 500 tokens a second.
  void LearnRate() {
    Enter(500);
    Enter(500);
    now_ += seconds(1);
    admission_.TakeUp(500, now_);
  }

  Clock::time_point now_{seconds(1000)};
  Admission admission_{MakeLimits()};
};

TEST_F(AdmissionTest, PlacesAreThoseThatRunAndThoseThatWait) {
  for (int i = 0; i < 104; ++i) {
    ASSERT_TRUE(Check(1).ok()) << i;
    Enter(1);
  }
  const Status full = Check(1);
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(full.message(), HasSubstr("104 sequences"));
  admission_.Leave(now_);
  EXPECT_TRUE(Check(1).ok());
  EXPECT_FALSE(admission_.Check(2, 1, kNever, now_).ok()) << "a choice needs a place of its own";
}

TEST_F(AdmissionTest, WhatCanNeverBeAdmittedIsTheRequestsFault) {
  EXPECT_TRUE(admission_.Check(104, 1, kNever, now_).ok());
  const Status never = admission_.Check(105, 1, kNever, now_);
  EXPECT_EQ(never.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(never.field(), "sampling.n");
  EXPECT_THAT(never.message(), HasSubstr("at most 104"));
}

TEST_F(AdmissionTest, TheRetryTimeIsThatOfThePlaceThatIsMissing) {
  for (int i = 0; i < 104; ++i) Enter(1);
  for (int i = 0; i < 100; ++i) {
    now_ += seconds(3);
    admission_.Leave(now_);
    Enter(1);
  }
  ASSERT_FALSE(Check(1).ok());
  EXPECT_NEAR(static_cast<double>(admission_.retry_delay().count()), 3000, 10);
}

TEST_F(AdmissionTest, IdleTimeIsNoTimeBetweenEnds) {
  Enter(1);
  now_ += milliseconds(200);
  admission_.Leave(now_);
  for (int i = 0; i < 100; ++i) {
    now_ += seconds(3600);
    Enter(1);
    now_ += milliseconds(200);
    admission_.Leave(now_);
  }
  for (int i = 0; i < 104; ++i) Enter(1);
  ASSERT_FALSE(Check(1).ok());
  EXPECT_NEAR(static_cast<double>(admission_.retry_delay().count()), 200, 10);
}

TEST_F(AdmissionTest, NothingIsRefusedBeforeTheRateIsKnown) {
  for (int i = 0; i < 50; ++i) Enter(1'000'000);
  EXPECT_FALSE(admission_.rate());
  EXPECT_TRUE(Check(1'000'000).ok());
}

TEST_F(AdmissionTest, ShortWaitsTeachNothing) {
  Enter(kStepTokens);
  now_ += seconds(1);
  admission_.TakeUp(kStepTokens, now_);
  EXPECT_FALSE(admission_.rate())
      << "less than a step's tokens waited: the group had time to spare";
}

TEST_F(AdmissionTest, WhatWouldWaitTooLongIsRefusedWithAnHonestTime) {
  LearnRate();
  ASSERT_TRUE(admission_.rate());
  EXPECT_NEAR(*admission_.rate(), 500, 1);
  EXPECT_EQ(admission_.waiting_tokens(), 500);
  EXPECT_TRUE(Check(4500).ok()) << "10 s";
  const Status refused = Check(7000);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.message(), HasSubstr("500 prompt tokens wait"));
  EXPECT_THAT(refused.message(), HasSubstr("15 s"));
  EXPECT_NEAR(static_cast<double>(admission_.retry_delay().count()), 5000, 10);
}

TEST_F(AdmissionTest, ALongPromptAloneIsServed) {
  LearnRate();
  admission_.TakeUp(500, now_);
  EXPECT_EQ(admission_.waiting_tokens(), 0);
  EXPECT_TRUE(Check(1'000'000).ok());
}

TEST_F(AdmissionTest, WhatCannotMeetItsDeadlineIsRefusedAtOnce) {
  LearnRate();
  EXPECT_TRUE(Check(1500, now_ + seconds(5)).ok());
  const Status refused = Check(1500, now_ + seconds(3));
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.message(), HasSubstr("deadline is in 3.0 s"));
  EXPECT_NEAR(static_cast<double>(admission_.retry_delay().count()), 1000, 10);
}

TEST_F(AdmissionTest, WhatGivesUpNoLongerWaits) {
  LearnRate();
  Enter(6000);
  EXPECT_FALSE(Check(1).ok());
  admission_.GiveUp(6000);
  EXPECT_TRUE(Check(1).ok());
}

TEST_F(AdmissionTest, ANewGroupStartsAfresh) {
  LearnRate();
  Enter(6000);
  admission_.Reset(kPlaces, kStepTokens);
  EXPECT_FALSE(admission_.rate());
  EXPECT_EQ(admission_.waiting_tokens(), 0);
  EXPECT_TRUE(Check(1'000'000).ok());
}

}  // namespace
}  // namespace phalanx
