// Watchdogs of real processes that share memory: children of the test stand for the other ranks.
#include "worker/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <thread>

namespace phalanx {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr milliseconds kTick{20};

class SharedPages final : public SharedRegion {
 public:
  explicit SharedPages(size_t size_bytes)
      : size_bytes_(size_bytes),
        data_(
            mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    PHALANX_CHECK(data_ != MAP_FAILED);
  }
  ~SharedPages() override { munmap(data_, size_bytes_); }
  SharedPages(const SharedPages&) = delete;
  SharedPages& operator=(const SharedPages&) = delete;
  std::byte* data() const override { return static_cast<std::byte*>(data_); }
  size_t size_bytes() const override { return size_bytes_; }

 private:
  const size_t size_bytes_;
  void* const data_;
};

// Rank 0 is the test, rank 1 a child that publishes nothing but its beats and ends where it misses
// those of rank 0.
class TwoRanks {
 public:
  explicit TwoRanks(milliseconds childs_patience = seconds(60))
      : region_(std::make_shared<SharedPages>(LivenessBoard::SizeBytes(2))) {
    child_ = fork();
    PHALANX_CHECK_GE(child_, 0);
    if (child_ == 0) RunChild(childs_patience);
    while (board_.record(1).beats == 0) std::this_thread::sleep_for(milliseconds(5));
  }
  ~TwoRanks() {
    kill(child_, SIGKILL);
    Reap();
  }
  TwoRanks(const TwoRanks&) = delete;
  TwoRanks& operator=(const TwoRanks&) = delete;

  pid_t child() const { return child_; }
  const LivenessBoard& board() const { return board_; }
  void Reap() { waitpid(child_, nullptr, 0); }
  bool ChildLives() const { return waitpid(child_, nullptr, WNOHANG) == 0; }

  std::unique_ptr<Watchdog> Watch(milliseconds silence) {
    WatchdogOptions options;
    options.silence = silence;
    options.tick = kTick;
    options.on_fault = [this](const Status& fault) { fault_.set_value(fault); };
    options.on_end = [this] { fault_.set_value(OkStatus()); };
    return Watchdog::Start(board_, std::move(options));
  }
  // What the watchdog said; OK where it said nothing or that another rank had spoken.
  Status WaitForFault(milliseconds patience) {
    std::future<Status> fault = fault_.get_future();
    return fault.wait_for(patience) == std::future_status::ready ? fault.get() : OkStatus();
  }

 private:
  [[noreturn]] void RunChild(milliseconds patience) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const LivenessBoard board(region_, 1, 2, 1, 2);
    std::atomic<bool> stop = false;
    WatchdogOptions options;
    options.silence = patience;
    options.tick = kTick;
    options.stop_requested = &stop;
    options.on_fault = [](const Status&) { _exit(1); };
    options.on_end = [] {};
    const auto watchdog = Watchdog::Start(board, std::move(options));
    while (!stop) std::this_thread::sleep_for(milliseconds(5));
    board.Publish(Activity::kLeft, 0, milliseconds(0));
    _exit(0);
  }

  const std::shared_ptr<SharedRegion> region_;
  const LivenessBoard board_{region_, 0, 2, 0, 2};
  pid_t child_ = -1;
  std::promise<Status> fault_;
};

TEST(WatchdogTest, NoticesADeathAtOnceAndSaysHow) {
  TwoRanks ranks;
  const auto watchdog = ranks.Watch(seconds(60));
  const auto begin = std::chrono::steady_clock::now();
  kill(ranks.child(), SIGKILL);
  const Status fault = ranks.WaitForFault(seconds(10));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2));
  EXPECT_EQ(fault.code(), StatusCode::kUnavailable);
  EXPECT_THAT(fault.message(), HasSubstr(fmt::format("pid {}) died", ranks.child())));
  EXPECT_THAT(fault.message(), HasSubstr("signal 9 (Killed)"));
}

TEST(WatchdogTest, NoticesAStoppedProcess) {
  TwoRanks ranks;
  const auto watchdog = ranks.Watch(milliseconds(500));
  kill(ranks.child(), SIGSTOP);
  const Status fault = ranks.WaitForFault(seconds(10));
  EXPECT_THAT(fault.message(), HasSubstr("rank 1 "));
  EXPECT_THAT(fault.message(), HasSubstr("its process is stopped"));
}

TEST(WatchdogTest, LetsAProcessStopForAWhile) {
  TwoRanks ranks;
  const auto watchdog = ranks.Watch(seconds(4));
  kill(ranks.child(), SIGSTOP);
  std::this_thread::sleep_for(milliseconds(300));
  kill(ranks.child(), SIGCONT);
  EXPECT_TRUE(ranks.WaitForFault(milliseconds(200)).ok());
}

TEST(WatchdogTest, AGroupThatWasStoppedAsAWholeGoesOn) {
  constexpr milliseconds kPatience{800};
  TwoRanks ranks(kPatience);
  auto watchdog = ranks.Watch(seconds(60));
  kill(ranks.child(), SIGSTOP);
  watchdog.reset();  // no beats: as if this process were stopped, too
  std::this_thread::sleep_for(kPatience + milliseconds(200));
  kill(ranks.child(), SIGCONT);
  watchdog = ranks.Watch(seconds(60));
  EXPECT_TRUE(ranks.WaitForFault(milliseconds(200)).ok());
  EXPECT_TRUE(ranks.ChildLives());
}

TEST(WatchdogTest, PassesAStopRequestOnAndLetsThoseLeaveThatSaySo) {
  TwoRanks ranks;
  const auto watchdog = ranks.Watch(seconds(60));
  ranks.board().RequestStop();
  ranks.Reap();  // the child leaves
  EXPECT_TRUE(ranks.WaitForFault(milliseconds(300)).ok());
}

TEST(WatchdogTest, AnOrderedStopReachesTheBoardAndAnEndedGroupEndsTheOthers) {
  const auto board = MakeLonelyLivenessBoard();
  std::atomic<bool> stop = false;
  std::promise<void> ended;
  WatchdogOptions options;
  options.tick = kTick;
  options.stop_requested = &stop;
  options.on_fault = [](const Status& fault) { ADD_FAILURE() << fault; };
  options.on_end = [&ended] { ended.set_value(); };
  const auto watchdog = Watchdog::Start(*board, std::move(options));
  stop = true;
  while (!board->stop_requested()) std::this_thread::sleep_for(milliseconds(5));
  board->MarkEnded();
  EXPECT_EQ(ended.get_future().wait_for(seconds(10)), std::future_status::ready);
}

}  // namespace
}  // namespace phalanx
