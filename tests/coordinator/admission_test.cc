// The arithmetic of admission, on a clock of its own.
#include "coordinator/core/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

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
  void Enter(int64_t prompt_tokens) { admission_.Enter({1, prompt_tokens}, now_); }
  Status Check(int64_t prompt_tokens, Clock::time_point deadline = kNever) {
    return admission_.Check({.load = {1, prompt_tokens}, .deadline = deadline}, now_);
  }
  Status CheckChoices(int32_t num_choices) {
    return admission_.Check({.load = {num_choices, 1}}, now_);
  }
  static double RetrySeconds(const Status& refused) {
    return 1e-3 * static_cast<double>(refused.retry_after().count());
  }
  // It had taken no time.
  void LeaveServed() {
    admission_.Begin(now_);
    admission_.LeaveServed(now_, now_);
  }
  // All places that run are taken, `num_waiting` sequences wait, and one has ended each second.
  void FillPlaces(int num_waiting) {
    for (int i = 0; i < kPlaces; ++i) Enter(1);
    for (int i = 0; i < 100; ++i) {
      now_ += seconds(1);
      LeaveServed();
      Enter(1);
    }
    for (int i = 0; i < num_waiting; ++i) Enter(1);
  }
  // Two prompts of 500 tokens wait; one is taken up after a second: 500 tokens a second.
  void LearnRate() {
    Enter(500);
    Enter(500);
    now_ += seconds(1);
    admission_.TakeUp(500, 0, now_);
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
  admission_.LeaveUnserved();
  EXPECT_TRUE(Check(1).ok());
  EXPECT_FALSE(CheckChoices(2).ok()) << "a choice needs a place of its own";
}

TEST_F(AdmissionTest, WhatCanNeverBeAdmittedIsTheRequestsFault) {
  EXPECT_TRUE(CheckChoices(104).ok());
  const Status never = CheckChoices(105);
  EXPECT_EQ(never.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(never.field(), "sampling.n");
  EXPECT_THAT(never.message(), HasSubstr("at most 104"));
}

TEST_F(AdmissionTest, TheRetryTimeIsThatOfThePlaceThatIsMissing) {
  for (int i = 0; i < 104; ++i) Enter(1);
  for (int i = 0; i < 100; ++i) {
    now_ += seconds(3);
    LeaveServed();
    Enter(1);
  }
  EXPECT_NEAR(RetrySeconds(Check(1)), 3, 0.01);
}

TEST_F(AdmissionTest, TimeWithPlacesLeftIsNoTimeBetweenEnds) {
  for (int i = 0; i < kPlaces; ++i) Enter(1);
  for (int i = 0; i < 100; ++i) {
    now_ += milliseconds(200);
    LeaveServed();
    now_ += seconds(3600);
    LeaveServed();
    Enter(1);
    Enter(1);
  }
  for (int i = 0; i < 100; ++i) Enter(1);
  EXPECT_NEAR(RetrySeconds(Check(1)), 0.2, 0.01);
}

TEST_F(AdmissionTest, WhoWouldWaitTooLongForAPlaceIsRefused) {
  FillPlaces(9);
  EXPECT_EQ(admission_.end_interval_s(now_), 1);
  EXPECT_TRUE(Check(1).ok()) << "the tenth end is its, after 10 s";
  Enter(1);
  const Status refused = Check(1);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.message(), HasSubstr("14 sequences are running or waiting"));
  EXPECT_THAT(refused.message(), HasSubstr("11.0 s"));
  EXPECT_NEAR(RetrySeconds(refused), 1, 1e-3);
  const Status terse = admission_.Check({.load = {1, 0}, .load_words = LoadWords::kNone}, now_);
  EXPECT_EQ(terse.message(),
            "the queue is full: the first token would take about 11.0 s, allowed: at most 10 s");
}

// Two run, and the group lets no third one run.
TEST_F(AdmissionTest, TheGroupMayHaveFewerPlaces) {
  Enter(1);
  Enter(1);
  Enter(1);
  now_ += seconds(100);
  admission_.OnPlaces(2, now_);
  for (int i = 0; i < 100; ++i) {
    now_ += seconds(3);
    LeaveServed();
    Enter(1);
  }
  EXPECT_NEAR(*admission_.end_interval_s(now_), 3, 1e-6)
      << "what was before all places were taken is no sign";
  EXPECT_TRUE(Check(1).ok()) << "6 s";
  Enter(1);
  Enter(1);
  const Status refused = Check(1);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.message(), HasSubstr("12.0 s"));

  admission_.OnPlaces(1000, now_);
  admission_.LeaveUnserved();
  admission_.LeaveUnserved();
  EXPECT_TRUE(Check(1).ok()) << "a fourth can run";
}

TEST_F(AdmissionTest, AfterAPlaceComesPrefill) {
  FillPlaces(7);
  EXPECT_TRUE(Check(1).ok()) << "8 s";
  for (int i = 0; i < 100; ++i) {
    Enter(1);
    admission_.TakeUp(1, 3, now_);
    admission_.LeaveUnserved();
  }
  EXPECT_NEAR(RetrySeconds(Check(1)), 1, 0.01);
}

TEST_F(AdmissionTest, WhoComesWhenToldFindsAPlace) {
  FillPlaces(10);
  for (const int num_more : {1, 5, 20}) {
    for (int i = 0; i < num_more; ++i) Enter(1);
    const Status refused = Check(1);
    ASSERT_FALSE(refused.ok());
    // The group goes on as it did.
    const int ends = static_cast<int>(std::ceil(RetrySeconds(refused)));
    EXPECT_EQ(ends, num_more + 1);
    for (int i = 0; i < ends; ++i) {
      EXPECT_FALSE(Check(1).ok()) << "sooner there is none";
      now_ += seconds(1);
      LeaveServed();
    }
    EXPECT_TRUE(Check(1).ok()) << num_more;
    Enter(1);
  }
}

TEST_F(AdmissionTest, AnswersThatBeganTogetherEndTogether) {
  for (int i = 0; i < kPlaces; ++i) Enter(1);
  Clock::time_point begun;
  const auto begin_all = [&] {
    begun = now_;
    for (int i = 0; i < kPlaces; ++i) admission_.Begin(now_);
  };
  begin_all();
  for (int round = 0; round < 100; ++round) {
    now_ += seconds(12);
    for (int i = 0; i < kPlaces; ++i) {
      admission_.LeaveServed(begun, now_);
      Enter(1);
    }
    begin_all();
  }
  EXPECT_NEAR(*admission_.end_interval_s(now_), 3, 0.5);
  EXPECT_NEAR(RetrySeconds(Check(1)), 2, 0.1) << "the next end is in 12 s";
  now_ += seconds(3);
  EXPECT_TRUE(Check(1).ok()) << "now it is in 9 s";
  for (int i = 0; i < 3; ++i) Enter(1);
  EXPECT_FALSE(Check(1).ok()) << "four ends at three seconds each";
}

TEST_F(AdmissionTest, LongAnswersMakeThemselvesKnownBeforeOneEnds) {
  FillPlaces(5);
  EXPECT_TRUE(Check(1).ok());
  now_ += seconds(60);
  EXPECT_FALSE(Check(1).ok()) << "nothing has ended for a minute";
}

TEST_F(AdmissionTest, WhoWaitsInVainTeachesNothing) {
  FillPlaces(9);
  for (int i = 0; i < 1000; ++i) {
    Enter(1);
    now_ += milliseconds(1);
    admission_.GiveUp(1);
    admission_.LeaveUnserved();
  }
  EXPECT_GE(*admission_.end_interval_s(now_), 1);
}

TEST_F(AdmissionTest, FreePlacesAreNotWaitedFor) {
  FillPlaces(0);
  LeaveServed();
  now_ += seconds(3600);
  EXPECT_TRUE(Check(1).ok());
}

TEST_F(AdmissionTest, WhatIsServedLaterIsNotWaitedFor) {
  FillPlaces(50);
  ASSERT_FALSE(Check(1).ok());
  EXPECT_TRUE(admission_.Check({.load = {1, 1}, .behind = {45, 45}}, now_).ok());
  EXPECT_FALSE(admission_.Check({.load = {1, 1}, .behind = {30, 30}}, now_).ok());
}

TEST_F(AdmissionTest, WithinItsPartAKeyNeedNotWaitForAPlace) {
  FillPlaces(50);
  const auto check = [&](int32_t num_sequences, KeyShare share) {
    return admission_.Check({.load = {num_sequences, 1}, .share = share}, now_).ok();
  };
  EXPECT_TRUE(check(2, {.num_keys = 2, .num_held = 0})) << "two of four places";
  EXPECT_TRUE(check(1, {.num_keys = 2, .num_held = 1}));
  EXPECT_FALSE(check(1, {.num_keys = 2, .num_held = 2}));
  EXPECT_FALSE(check(2, {.num_keys = 3, .num_held = 0}));
  EXPECT_FALSE(check(1, {.num_keys = 5, .num_held = 0})) << "fewer places than keys";
  EXPECT_FALSE(check(1, {})) << "nobody shares";
  admission_.OnPlaces(2, now_);
  EXPECT_FALSE(check(2, {.num_keys = 2, .num_held = 0}));
}

TEST_F(AdmissionTest, PromptsThatAreServedLaterAreNotWaitedFor) {
  LearnRate();
  admission_.Enter({1, 6000}, now_);
  ASSERT_FALSE(Check(1).ok());
  EXPECT_TRUE(admission_.Check({.load = {1, 1}, .behind = {1, 6000}}, now_).ok());
}

TEST_F(AdmissionTest, TheRetryTimeOfAShareIsThatOfItsOwnEnds) {
  FillPlaces(0);
  EXPECT_EQ(admission_.ShareDelay(2, 1, now_), seconds(8))
      << "two of the ends that come one in four to it";
}

TEST_F(AdmissionTest, TheRetryTimeOfAShareGoesByHowLongAnswersTakeWhilePlacesAreFree) {
  Enter(0);
  admission_.Begin(now_);
  EXPECT_EQ(admission_.ShareDelay(1, 1, now_), seconds(1)) << "nothing is known";
  now_ += seconds(40);
  EXPECT_EQ(admission_.ShareDelay(1, 1, now_), seconds(40)) << "long answers, it seems";
  admission_.LeaveServed(now_ - seconds(40), now_);
  Enter(0);
  Enter(0);
  EXPECT_EQ(admission_.ShareDelay(1, 1, now_), seconds(40));
  EXPECT_EQ(admission_.ShareDelay(1, 2, now_), seconds(20)) << "the first of two";
}

TEST_F(AdmissionTest, PromptsThatWaitForPlacesTeachNoRateOfPrefill) {
  for (int i = 0; i < kPlaces + 1; ++i) Enter(500);
  now_ += seconds(1);
  admission_.TakeUp(500, 0, now_);
  EXPECT_FALSE(admission_.rate());
}

TEST_F(AdmissionTest, NothingIsRefusedBeforeTheRateIsKnown) {
  for (int i = 0; i < 50; ++i) Enter(1'000'000);
  EXPECT_FALSE(admission_.rate());
  EXPECT_TRUE(Check(1'000'000).ok());
}

TEST_F(AdmissionTest, ShortWaitsTeachNothing) {
  Enter(kStepTokens);
  now_ += seconds(1);
  admission_.TakeUp(kStepTokens, 0, now_);
  EXPECT_FALSE(admission_.rate())
      << "less than a step's tokens waited: the group had time to spare";
}

TEST_F(AdmissionTest, WhatWouldWaitTooLongIsRefusedWithAnHonestTime) {
  LearnRate();
  ASSERT_TRUE(admission_.rate());
  EXPECT_NEAR(*admission_.rate(), 500, 1);
  EXPECT_EQ(admission_.waiting_tokens(), 500);
  Enter(4000);
  EXPECT_TRUE(Check(500).ok()) << "10 s";
  const Status refused = Check(1500);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.message(), HasSubstr("4500 prompt tokens wait"));
  EXPECT_THAT(refused.message(), HasSubstr("12.0 s, allowed: at most 10 s"));
  EXPECT_NEAR(RetrySeconds(refused), 2, 0.01);
}

TEST_F(AdmissionTest, WhoTakesLongWaitsAsLong) {
  LearnRate();
  Enter(6000);
  ASSERT_EQ(admission_.waiting_tokens(), 6500);
  EXPECT_FALSE(Check(6400).ok());
  EXPECT_TRUE(Check(6500).ok()) << "13 s for others, and as much for itself";
  Enter(6500);
  const Status third = Check(6500);
  EXPECT_EQ(third.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(third.message(), HasSubstr("39.0 s, allowed: at most 26 s"));
  EXPECT_NEAR(RetrySeconds(third), 13, 0.01);
}

TEST_F(AdmissionTest, WhatIsNotCountedYetMayTakeLong) {
  LearnRate();
  Enter(6000);
  const auto check = [&](int64_t most) {
    return admission_.Check({.load = {1, 0}, .most_prompt_tokens = most}, now_).ok();
  };
  EXPECT_FALSE(check(3249));
  EXPECT_TRUE(check(3250)) << "13 s, twice what the prompt takes at most";
}

TEST_F(AdmissionTest, ALongPromptAloneIsServed) {
  LearnRate();
  admission_.TakeUp(500, 0, now_);
  EXPECT_EQ(admission_.waiting_tokens(), 0);
  EXPECT_TRUE(Check(1'000'000).ok());
}

TEST_F(AdmissionTest, WhatCannotMeetItsDeadlineIsRefusedAtOnce) {
  LearnRate();
  EXPECT_TRUE(Check(1500, now_ + seconds(5)).ok());
  const Status refused = Check(1500, now_ + seconds(3));
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.message(), HasSubstr("deadline is in 3.0 s"));
  EXPECT_NEAR(RetrySeconds(refused), 1, 0.01);
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
