#include "coordinator/core/task_queue.h"

#include <utility>

namespace phalanx {

TaskQueue::TaskQueue(size_t capacity) : capacity_(capacity), thread_([this] { Run(); }) {}

TaskQueue::~TaskQueue() {
  {
    std::lock_guard lock(mu_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

PostResult TaskQueue::Post(std::function<void()> task) {
  {
    std::lock_guard lock(mu_);
    if (tasks_.size() >= capacity_) return PostResult::kFull;
    tasks_.push_back(std::move(task));
  }
  changed_.notify_one();
  return PostResult::kAccepted;
}

void TaskQueue::Run() {
  std::unique_lock lock(mu_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace phalanx
