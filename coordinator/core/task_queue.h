// One thread for what would hold up a thread that others wait for, such as tokenizing a megabyte.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace phalanx {

enum class PostResult { kAccepted, kFull };

// Thread-safe. The destructor runs what was accepted.
class TaskQueue {
 public:
  explicit TaskQueue(size_t capacity);
  ~TaskQueue();
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  PostResult Post(std::function<void()> task);

 private:
  void Run();

  const size_t capacity_;
  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace phalanx
