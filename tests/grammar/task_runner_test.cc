#include "grammar/task_runner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

namespace phalanx {
namespace {

using std::chrono::milliseconds;

void Burn(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {
  }
}

TEST(TaskRunnerTest, RunsATask) {
  TaskRunner runner(1);
  auto done = std::make_shared<int>(0);
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(runner.Run([done] { ++*done; }, milliseconds(1000)).ok());
  }
  EXPECT_EQ(*done, 50);
}

TEST(TaskRunnerTest, GivesUpWhatUsesTooMuchProcessorTimeButNotWhatSleeps) {
  TaskRunner runner(2);
  auto stop = std::make_shared<std::atomic<bool>>(false);
  EXPECT_EQ(runner.Run([stop] { Burn(*stop); }, milliseconds(20)).code(),
            StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(
      runner.Run([] { std::this_thread::sleep_for(milliseconds(60)); }, milliseconds(20)).ok());
  *stop = true;
}

TEST(TaskRunnerTest, RefusesWhileTasksThatWereGivenUpGoOn) {
  TaskRunner runner(1);
  auto stop = std::make_shared<std::atomic<bool>>(false);
  EXPECT_FALSE(runner.Run([stop] { Burn(*stop); }, milliseconds(10)).ok());
  EXPECT_EQ(runner.Run([] {}, milliseconds(5)).code(), StatusCode::kResourceExhausted);
  *stop = true;
  EXPECT_TRUE(runner.Run([] {}, milliseconds(1000)).ok());
}

}  // namespace
}  // namespace phalanx
