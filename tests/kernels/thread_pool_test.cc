#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "kernels/base/cpus.h"

namespace phalanx {
namespace {

TEST(ThreadPoolTest, RunsEveryTaskOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool({.num_threads = threads});
    for (int64_t tasks = 0; tasks < 200; ++tasks) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
      pool.ParallelFor(tasks, [&](int64_t task, int thread) {
        EXPECT_GE(thread, 0);
        EXPECT_LT(thread, threads);
        runs[static_cast<size_t>(task)].fetch_add(1);
      });
      EXPECT_TRUE(std::all_of(runs.begin(), runs.end(), [](const auto& n) { return n == 1; }));
    }
  }
}

TEST(ThreadPoolTest, PlainWritesOfTasksAreSeenAfterTheLoop) {
  ThreadPool pool({.num_threads = 4});
  std::vector<int64_t> values(64);
  for (int64_t round = 0; round < 5000; ++round) {
    pool.ParallelFor(64,
                     [&](int64_t task, int) { values[static_cast<size_t>(task)] = round + task; });
    for (int64_t task = 0; task < 64; ++task)
      ASSERT_EQ(values[static_cast<size_t>(task)], round + task);
  }
}

TEST(ThreadPoolTest, AllThreadsTakePart) {
  ThreadPool pool({.num_threads = 3});
  std::atomic<int> arrived{0};
  // Every task waits for the others, so one thread alone could not finish.
  pool.ParallelFor(3, [&](int64_t, int) {
    arrived.fetch_add(1);
    while (arrived.load() < 3) std::this_thread::yield();
  });
  EXPECT_EQ(arrived.load(), 3);
}

TEST(ThreadPoolTest, SleepsWhenIdle) {
  ThreadPool pool({.num_threads = 4});
  pool.ParallelFor(100, [](int64_t, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto cpu_ms = [] {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
  };
  const auto before = cpu_ms();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LE(cpu_ms() - before, 60);  // one thread that spins alone would use 300
}

TEST(ThreadPoolTest, RestrictsThreadsToTheGivenCpus) {
  cpu_set_t original;
  ASSERT_EQ(sched_getaffinity(0, sizeof(original), &original), 0);
  int cpu = 0;
  while (!CPU_ISSET(static_cast<size_t>(cpu), &original)) ++cpu;
  {
    ThreadPool pool({.num_threads = 2, .cpus = {cpu}});
    pool.ParallelFor(2, [](int64_t, int) { EXPECT_EQ(NumUsableCpus(), 1); });
  }
  sched_setaffinity(0, sizeof(original), &original);
}

}  // namespace
}  // namespace phalanx
