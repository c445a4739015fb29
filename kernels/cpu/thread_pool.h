// The compute threads of one backend.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace phalanx {

struct ThreadPoolOptions {
  int num_threads = 1;  // the caller included
  std::vector<int>
      cpus{};  // if not empty, every thread, the caller's too, may run on exactly these
};

// Runs loops on num_threads threads. Between loops the workers spin for some tens of microseconds,
// so that the ops of one step start at once, and then sleep, so that an idle process uses no CPU.
// They never spin where there are more threads than usable CPUs.
//
// A loop's tasks are cut into one contiguous share per thread. A thread claims the tasks of its own
// share one at a time in ascending order, so that it streams through neighbouring memory, and then
// helps with the shares of the others; results must not depend on which thread runs a task. A
// worker that is late finds nothing left and is not waited for.
//
// ParallelFor is called from one thread at a time and does not nest.
class ThreadPool {
 public:
  explicit ThreadPool(const ThreadPoolOptions& options);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // function(task, thread) for every task in [0, num_tasks), thread in [0, num_threads). All have
  // finished when it returns.
  template <typename Function>
  void ParallelFor(int64_t num_tasks, const Function& function) {
    if (num_threads_ == 1 || num_tasks <= 1) {
      for (int64_t task = 0; task < num_tasks; ++task) function(task, 0);
      return;
    }
    Run(num_tasks, &function, [](const void* context, int64_t task, int thread) {
      (*static_cast<const Function*>(context))(task, thread);
    });
  }

 private:
  using TaskFunction = void (*)(const void* context, int64_t task, int thread);

  void Run(int64_t num_tasks, const void* context, TaskFunction function);
  int64_t FirstTask(int share, int64_t num_tasks) const { return num_tasks * share / num_threads_; }
  void RunTasks(int thread);
  // Runs what is left of one share.
  void RunShare(int share, int thread);
  void WorkerLoop(int thread);

  int num_threads_;
  int spin_rounds_;

  // The current loop. Written while no task is left to claim, read after a claim succeeded: a loop
  // is not over before its claimed tasks are.
  const void* context_ = nullptr;
  TaskFunction function_ = nullptr;
  int64_t num_tasks_ = 0;

  struct alignas(64) Share {
    std::atomic<int64_t> unclaimed{0};
  };
  std::vector<Share> shares_;  // one per thread
  alignas(64) std::atomic<int64_t> finished_{0};
  alignas(64) std::atomic<uint32_t> loop_number_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

}  // namespace phalanx
