#include "grammar/task_runner.h"

#include <pthread.h>
#include <time.h>

#include <algorithm>

namespace phalanx {
namespace {

// 0 where the thread's clock cannot be read.
std::chrono::nanoseconds CpuTime(std::thread& thread) {
  clockid_t clock = 0;
  timespec time = {};
  if (pthread_getcpuclockid(thread.native_handle(), &clock) != 0) return {};
  if (clock_gettime(clock, &time) != 0) return {};
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

TaskRunner::~TaskRunner() {
  for (const std::unique_ptr<Thread>& thread : threads_) thread->thread.join();
}

void TaskRunner::JoinFinishedLocked() {
  const auto finished = [](const std::unique_ptr<Thread>& thread) {
    if (thread->finished) thread->thread.join();
    return thread->finished;
  };
  std::erase_if(threads_, finished);
}

Status TaskRunner::Run(std::function<void()> task, std::chrono::milliseconds limit) {
  constexpr auto kPoll = std::chrono::milliseconds(5);
  std::unique_lock lock(mu_);
  const auto has_room = [&] {
    JoinFinishedLocked();
    return static_cast<int>(threads_.size()) < max_running_;
  };
  if (!changed_.wait_for(lock, 20 * limit, has_room)) {
    return ResourceExhaustedError("{} others are being worked on", max_running_);
  }
  threads_.push_back(std::make_unique<Thread>());
  Thread& mine = *threads_.back();
  bool abandoned_or_done = false;  // guards `mine`, which another caller's join may free
  mine.thread = std::thread([this, task = std::move(task), &mine] {
    task();
    std::lock_guard guard(mu_);
    mine.finished = true;
    changed_.notify_all();
  });
  while (!abandoned_or_done) {
    changed_.wait_for(lock, kPoll);
    const auto is_mine = [&](const auto& thread) { return thread.get() == &mine; };
    const bool joined = std::none_of(threads_.begin(), threads_.end(), is_mine);
    if (joined || mine.finished) return OkStatus();
    abandoned_or_done = CpuTime(mine.thread) >= limit;
  }
  return DeadlineExceededError("takes longer than {} ms", limit.count());
}

}  // namespace phalanx
