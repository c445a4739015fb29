// Runs tasks that cannot be interrupted on threads of their own, and stops waiting for one that
// uses too much processor time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

// Thread-safe. Its destructor waits for tasks that were given up.
class TaskRunner {
 public:
  explicit TaskRunner(int max_running) : max_running_(max_running) {}
  ~TaskRunner();
  TaskRunner(const TaskRunner&) = delete;
  TaskRunner& operator=(const TaskRunner&) = delete;

  // `task` must own what it uses: it may go on after this returns. DEADLINE_EXCEEDED: it has used
  // `limit` of processor time and was given up. RESOURCE_EXHAUSTED: max_running tasks were still
  // under way after twenty times that limit.
  Status Run(std::function<void()> task, std::chrono::milliseconds limit);

 private:
  void JoinFinishedLocked();

  struct Thread {
    std::thread thread;
    bool finished = false;
  };

  const int max_running_;
  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Thread>> threads_;
};

}  // namespace phalanx
