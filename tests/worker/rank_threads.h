// Runs a function on every rank of a thread group.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/thread_group.h"

namespace phalanx {

inline void OnEveryRank(int size, const std::function<void(Communicator&)>& function) {
  const std::vector<std::unique_ptr<Communicator>> group = MakeThreadGroup(size);
  std::vector<std::thread> threads;
  for (const auto& communicator : group) {
    threads.emplace_back([&function, &communicator] { function(*communicator); });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace phalanx
