#include "kernels/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/cpus.h"

namespace phalanx {
namespace {

// About 50 microseconds of pauses: longer than the gaps between the ops of a step.
constexpr int kSpinRounds = 2000;

void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

void RestrictToCpus(pthread_t thread, const std::vector<int>& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<size_t>(cpu), &set);
  // A CPU that is gone or forbidden leaves the mask as it was: slower, not wrong.
  (void)pthread_setaffinity_np(thread, sizeof(set), &set);
}

}  // namespace

ThreadPool::ThreadPool(const ThreadPoolOptions& options)
    : num_threads_(options.num_threads),
      shares_(static_cast<size_t>(std::max(1, options.num_threads))) {
  PHALANX_CHECK_GE(num_threads_, 1);
  RestrictToCpus(pthread_self(), options.cpus);
  spin_rounds_ = num_threads_ <= NumUsableCpus() ? kSpinRounds : 0;
  workers_.reserve(static_cast<size_t>(num_threads_ - 1));
  for (int thread = 1; thread < num_threads_; ++thread) {
    workers_.emplace_back([this, thread] { WorkerLoop(thread); });
    RestrictToCpus(workers_.back().native_handle(), options.cpus);
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  loop_number_.fetch_add(1, std::memory_order_release);
  loop_number_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(int64_t num_tasks, const void* context, TaskFunction function) {
  context_ = context;
  function_ = function;
  num_tasks_ = num_tasks;
  finished_.store(0, std::memory_order_relaxed);
  for (int share = 0; share < num_threads_; ++share) {
    const int64_t size = FirstTask(share + 1, num_tasks) - FirstTask(share, num_tasks);
    shares_[static_cast<size_t>(share)].unclaimed.store(size, std::memory_order_release);
  }
  loop_number_.fetch_add(1, std::memory_order_release);
  loop_number_.notify_all();
  RunTasks(0);
  for (int round = 0; round < spin_rounds_; ++round) {
    if (finished_.load(std::memory_order_acquire) == num_tasks) return;
    CpuRelax();
  }
  for (;;) {
    const int64_t finished = finished_.load(std::memory_order_acquire);
    if (finished == num_tasks) return;
    finished_.wait(finished, std::memory_order_acquire);
  }
}

void ThreadPool::RunTasks(int thread) {
  for (int i = 0; i < num_threads_; ++i) RunShare((thread + i) % num_threads_, thread);
}

void ThreadPool::RunShare(int share, int thread) {
  std::atomic<int64_t>& counter = shares_[static_cast<size_t>(share)].unclaimed;
  int64_t unclaimed = counter.load(std::memory_order_relaxed);
  while (unclaimed > 0) {
    if (!counter.compare_exchange_weak(unclaimed, unclaimed - 1, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
      continue;
    }
    const int64_t num_tasks = num_tasks_;
    function_(context_, FirstTask(share + 1, num_tasks) - unclaimed, thread);
    const bool last = finished_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_tasks;
    if (last && thread != 0) finished_.notify_one();
    unclaimed = counter.load(std::memory_order_relaxed);
  }
}

void ThreadPool::WorkerLoop(int thread) {
  uint32_t seen = 0;
  for (;;) {
    for (int round = 0; round < spin_rounds_; ++round) {
      if (loop_number_.load(std::memory_order_acquire) != seen) break;
      CpuRelax();
    }
    loop_number_.wait(seen, std::memory_order_acquire);
    seen = loop_number_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    RunTasks(thread);
  }
}

}  // namespace phalanx
