// Who is to blame when a group stands still, and whose turn it is to say so.
#include "worker/liveness_judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace phalanx {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr milliseconds kTick{200};
constexpr milliseconds kSilence{10'000};

struct Host {
  int size = 1;        // ranks
  int group_size = 0;  // of all hosts; 0: this is the only one
  int first_rank = 0;
  milliseconds silence = kSilence;
};

// The ranks of one host; every one of them has its own judge.
class Ranks {
 public:
  explicit Ranks(const Host& host)
      : region_(MakeHeapRegion(LivenessBoard::SizeBytes(host.size))),
        gone_(static_cast<size_t>(host.size)),
        is_running_(static_cast<size_t>(host.size), true) {
    for (int i = 0; i < host.size; ++i) {
      boards_.push_back(std::make_unique<LivenessBoard>(region_, i, host.size, host.first_rank + i,
                                                        std::max(host.size, host.group_size)));
      board(i).Publish(Activity::kForwardPass, 17, kSilence);
    }
    for (int i = 0; i < host.size; ++i) {
      judges_.emplace_back(
          board(i),
          LivenessJudgeOptions{.silence = host.silence, .host = "here", .describe = [](int) {
                                 return std::string("what is known");
                               }});
    }
  }

  LivenessBoard& board(int i) { return *boards_[static_cast<size_t>(i)]; }
  void Die(int i) {
    gone_[static_cast<size_t>(i)] = true;
    is_running_[static_cast<size_t>(i)] = false;
  }
  void Stop(int i) { is_running_[static_cast<size_t>(i)] = false; }
  void Continue(int i) { is_running_[static_cast<size_t>(i)] = true; }
  void WaitInCollective(int i) {
    board(i).mine().collectives = 3;
    board(i).mine().is_waiting = 1;
  }

  // Lets time pass until the judge of `rank` speaks, or for `time`. The verdict's words, or "".
  std::string Listen(int rank, milliseconds time) {
    for (passed_ = milliseconds(0); passed_ <= time; passed_ += kTick) {
      const std::string verdict = LookOnce(rank, kTick);
      if (!verdict.empty()) return verdict;
    }
    return "";
  }
  std::string LookOnce(int rank, milliseconds elapsed) {
    for (int i = 0; i < static_cast<int>(boards_.size()); ++i) {
      if (is_running_[static_cast<size_t>(i)]) ++board(i).mine().beats;
    }
    const auto verdict = judges_[static_cast<size_t>(rank)].Look(elapsed, gone_);
    return verdict ? std::string(verdict->message()) : "";
  }
  milliseconds passed() const { return passed_; }
  // What the judge of `rank` would report after `time`.
  LivenessJudge::Stall StallAfter(int rank, milliseconds time) {
    EXPECT_EQ(Listen(rank, time), "");
    return judges_[static_cast<size_t>(rank)].FindStall();
  }

 private:
  std::shared_ptr<SharedRegion> region_;
  std::vector<std::unique_ptr<LivenessBoard>> boards_;
  std::vector<LivenessJudge> judges_;
  std::vector<bool> gone_;
  std::vector<bool> is_running_;
  milliseconds passed_{0};
};

TEST(LivenessJudgeTest, AStoppedRankStallsLongBeforeItIsAFault) {
  Ranks ranks({.size = 3});
  ranks.board(1).Publish(Activity::kForwardPass, 17, kSilence);
  EXPECT_EQ(ranks.StallAfter(0, milliseconds(1000)).since, milliseconds(0));
  for (int i = 0; i < 3; ++i) ranks.board(i).Publish(Activity::kForwardPass, 17, kSilence);
  ranks.Stop(1);
  const LivenessJudge::Stall stall = ranks.StallAfter(0, milliseconds(3000));
  EXPECT_GE(stall.since, milliseconds(3000));
  EXPECT_LE(stall.since, milliseconds(3800));
  EXPECT_THAT(stall.reason, HasSubstr("rank 1 (host here, pid "));
  EXPECT_THAT(stall.reason, HasSubstr("has been silent for 3."));
  EXPECT_THAT(stall.reason, HasSubstr("in step 17 (forward pass): what is known"));
  ranks.Continue(1);
  for (int i = 0; i < 3; ++i) ranks.board(i).Publish(Activity::kForwardPass, 18, kSilence);
  EXPECT_EQ(ranks.StallAfter(0, kTick).since, milliseconds(0));
}

TEST(LivenessJudgeTest, AStepStallsOnceItIsLaterThanItMayBe) {
  Ranks ranks({.size = 2});
  constexpr milliseconds kLongStep{6'000};
  for (int i = 0; i < 2; ++i) {
    ranks.board(i).Publish(Activity::kForwardPass, 17, kSilence + kLongStep);
  }
  ranks.WaitInCollective(0);
  EXPECT_EQ(ranks.StallAfter(0, kLongStep).since, milliseconds(0)) << "a long step";
  const LivenessJudge::Stall stall = ranks.StallAfter(0, milliseconds(2800));
  EXPECT_GE(stall.since, milliseconds(2800));
  EXPECT_LE(stall.since, milliseconds(3800));
  EXPECT_THAT(stall.reason, HasSubstr("rank 1 (host here, pid "));
  EXPECT_THAT(stall.reason, HasSubstr("has made no progress for 9."));
}

TEST(LivenessJudgeTest, WithoutADeadlineNoStepStalls) {
  Ranks ranks({.size = 2, .silence = milliseconds(0)});
  for (int i = 0; i < 2; ++i) ranks.board(i).Publish(Activity::kForwardPass, 17, milliseconds(0));
  EXPECT_EQ(ranks.StallAfter(0, 10 * kSilence).since, milliseconds(0));
  ranks.Stop(1);
  EXPECT_GE(ranks.StallAfter(0, milliseconds(3000)).since, milliseconds(3000));
}

TEST(LivenessJudgeTest, ADeadRankIsNamedAtOnce) {
  Ranks ranks({.size = 3});
  ranks.Die(1);
  const std::string verdict = ranks.Listen(0, kTick);
  EXPECT_THAT(verdict, HasSubstr("rank 1 (host here, pid "));
  EXPECT_THAT(verdict, HasSubstr(") died in step 17 (forward pass): what is known"));
  EXPECT_EQ(ranks.passed(), milliseconds(0));
}

TEST(LivenessJudgeTest, OneRankSpeaksAndTheOthersOnlyWhereItDoesNot) {
  Ranks ranks({.size = 3});
  ranks.Die(1);
  EXPECT_EQ(ranks.Listen(2, milliseconds(1000)), "");
  EXPECT_THAT(ranks.Listen(2, milliseconds(2000)), HasSubstr("rank 1"));

  Ranks without_first({.size = 3});
  without_first.Die(0);
  EXPECT_THAT(without_first.Listen(1, milliseconds(0)), HasSubstr("rank 0"));
}

TEST(LivenessJudgeTest, ARankThatDoesNotRunIsNotWaitedForToSpeak) {
  Ranks ranks({.size = 3});
  ranks.Stop(0);
  EXPECT_EQ(ranks.Listen(1, milliseconds(3000)), "");
  ranks.Die(2);
  EXPECT_THAT(ranks.Listen(1, milliseconds(0)), HasSubstr("rank 2 "));
}

TEST(LivenessJudgeTest, ARankThatLeftIsNotMissed) {
  Ranks ranks({.size = 2});
  ranks.board(1).Publish(Activity::kLeft, 17, milliseconds(0));
  ranks.board(0).Publish(Activity::kLeaving, 17, milliseconds(0));
  ranks.Die(1);
  EXPECT_EQ(ranks.Listen(0, 3 * kSilence), "");
}

TEST(LivenessJudgeTest, ARankThatFailedItselfIsNotCalledDead) {
  Ranks ranks({.size = 2});
  ranks.board(1).Publish(Activity::kFailed, 17, milliseconds(0));
  ranks.Die(1);
  EXPECT_THAT(ranks.Listen(0, kTick), HasSubstr("ended after an error in step 17 (failed)"));
}

TEST(LivenessJudgeTest, ASingleRankWatchesItsOwnProgress) {
  Ranks ranks({.size = 1});
  EXPECT_EQ(ranks.Listen(0, kSilence / 2), "");
  EXPECT_THAT(ranks.Listen(0, kSilence), HasSubstr("rank 0 "));
}

TEST(LivenessJudgeTest, WithoutALimitOnlyDeathsEndAGroup) {
  Ranks ranks({.size = 2, .silence = milliseconds(0)});
  ranks.Stop(1);
  EXPECT_EQ(ranks.Listen(0, 100 * kSilence), "");
  ranks.Die(1);
  EXPECT_THAT(ranks.Listen(0, kTick), HasSubstr("rank 1 "));
}

TEST(LivenessJudgeTest, AStoppedRankIsToBlameNotThoseThatWaitForIt) {
  for (const int stopped : {0, 1, 2}) {
    SCOPED_TRACE(testing::Message() << "stopped " << stopped);
    Ranks ranks({.size = 3});
    for (int i = 0; i < 3; ++i) ranks.WaitInCollective(i);
    ranks.Stop(stopped);
    const std::string verdict = ranks.Listen(stopped == 0 ? 1 : 0, 2 * kSilence);
    EXPECT_THAT(verdict, HasSubstr(fmt::format("rank {} (host here, pid", stopped)));
    EXPECT_THAT(verdict, HasSubstr("has been silent for"));
    EXPECT_THAT(verdict, HasSubstr("in step 17 (forward pass): what is known"));
    EXPECT_GE(ranks.passed(), kSilence - 2 * kTick);
    EXPECT_LE(ranks.passed(), kSilence + 2 * kTick);
  }
}

TEST(LivenessJudgeTest, AStoppedRankIsMissedAlsoWhereNothingHasADeadline) {
  Ranks ranks({.size = 2});
  for (int i = 0; i < 2; ++i) ranks.board(i).Publish(Activity::kStarting, 0, milliseconds(0));
  EXPECT_EQ(ranks.Listen(0, 3 * kSilence), "");
  ranks.Stop(1);
  EXPECT_THAT(ranks.Listen(0, 2 * kSilence), HasSubstr("rank 1 (host here, pid"));
}

TEST(LivenessJudgeTest, AStoppedRankIsToBlameForADeadlineThatPassesBeforeItsOwn) {
  Ranks ranks({.size = 3});
  ranks.WaitInCollective(1);
  for (int i = 0; i < 3; ++i) {
    ranks.board(i).Publish(Activity::kForwardPass, 18, kSilence / 2);
  }
  ranks.Stop(1);
  EXPECT_THAT(ranks.Listen(0, 2 * kSilence), HasSubstr("rank 1 (host here, pid"));
  EXPECT_LT(ranks.passed(), kSilence);
}

TEST(LivenessJudgeTest, OfRunningRanksTheOneThatDoesNotWaitIsToBlame) {
  Ranks ranks({.size = 3});
  ranks.WaitInCollective(0);
  ranks.WaitInCollective(2);
  ranks.board(1).mine().collectives = 4;  // it has left the one that the others enter
  EXPECT_THAT(ranks.Listen(0, 2 * kSilence),
              testing::AllOf(HasSubstr("rank 1 "), HasSubstr("has made no progress for")));
}

TEST(LivenessJudgeTest, ARankThatRunsButIsStuckIsNotTheOneToSpeak) {
  Ranks ranks({.size = 2});
  ranks.WaitInCollective(1);
  EXPECT_THAT(ranks.Listen(1, kSilence), HasSubstr("rank 0 "));
}

TEST(LivenessJudgeTest, OfWaitingRanksTheOneThatIsBehindIsToBlame) {
  Ranks ranks({.size = 3});
  for (int i = 0; i < 3; ++i) ranks.WaitInCollective(i);
  ranks.board(2).mine().collectives = 2;
  EXPECT_THAT(ranks.Listen(0, 2 * kSilence), HasSubstr("rank 2 "));
}

TEST(LivenessJudgeTest, RanksOfAnotherHostAreBlamedInGeneral) {
  Ranks ranks({.size = 2, .group_size = 4});
  for (int i = 0; i < 2; ++i) ranks.WaitInCollective(i);
  const std::string verdict = ranks.Listen(0, 2 * kSilence);
  EXPECT_THAT(verdict, HasSubstr("no rank of host here has made progress"));
  EXPECT_THAT(verdict, HasSubstr("all wait for ranks of other hosts"));
}

TEST(LivenessJudgeTest, TheHostOfRankZeroGoesFirst) {
  Ranks ranks({.size = 2, .group_size = 4, .first_rank = 2});  // ranks 2 and 3
  ranks.Die(1);
  EXPECT_EQ(ranks.Listen(0, milliseconds(1000)), "");
  EXPECT_THAT(ranks.Listen(0, milliseconds(2000)), HasSubstr("rank 3 "));
}

TEST(LivenessJudgeTest, ARankThatGoesOnBeforeAnybodySpokeIsForgiven) {
  Ranks ranks({.size = 3});
  ranks.Stop(1);
  EXPECT_EQ(ranks.Listen(2, kSilence + milliseconds(1000)), "");  // the turn is rank 0's
  ranks.Continue(1);
  for (int rank = 0; rank < 3; ++rank) {
    ranks.board(rank).Publish(Activity::kForwardPass, 18, kSilence);
  }
  EXPECT_EQ(ranks.Listen(2, kSilence / 2), "");
  ranks.Die(1);  // a new fault, with a grace of its own
  EXPECT_EQ(ranks.Listen(2, milliseconds(1000)), "");
  EXPECT_THAT(ranks.Listen(2, milliseconds(2000)), HasSubstr("rank 1 "));
}

TEST(LivenessJudgeTest, ProgressAndLongerStepsPutTheDeadlineOff) {
  Ranks ranks({.size = 2});
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ranks.Listen(0, kSilence / 2), "");
    for (int rank = 0; rank < 2; ++rank) {
      ranks.board(rank).Publish(Activity::kForwardPass, 18, kSilence);
    }
  }
  for (int rank = 0; rank < 2; ++rank) {
    ranks.board(rank).Publish(Activity::kForwardPass, 19, 4 * kSilence);
  }
  EXPECT_EQ(ranks.Listen(0, 3 * kSilence), "");
  EXPECT_THAT(ranks.Listen(0, 2 * kSilence), HasSubstr("in step 19"));
}

}  // namespace
}  // namespace phalanx
