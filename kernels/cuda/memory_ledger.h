// Which allocations a device has given out. Safe from several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/memory_plan.h"

namespace phalanx::cuda {

class MemoryLedger {
 public:
  void Add(void* p, size_t bytes, std::string_view name, MemoryUse::Where where);
  void Remove(void* p);

  // By name, the largest first.
  std::vector<MemoryUse> uses() const;
  int64_t num_allocations() const;  // ever

 private:
  struct Entry {
    size_t bytes;
    std::string name;
    MemoryUse::Where where;
  };

  mutable std::mutex mutex_;
  std::map<void*, Entry> entries_;
  int64_t num_allocations_ = 0;
};

}  // namespace phalanx::cuda
