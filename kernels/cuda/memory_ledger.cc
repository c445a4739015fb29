#include "kernels/cuda/memory_ledger.h"

#include <algorithm>

#include "kernels/base/check.h"

namespace phalanx::cuda {

void MemoryLedger::Add(void* p, size_t bytes, std::string_view name, MemoryUse::Where where) {
  const std::lock_guard lock(mutex_);
  ++num_allocations_;
  const bool is_new = entries_.emplace(p, Entry{bytes, NameOfAllLayers(name), where}).second;
  PHALANX_CHECK(is_new);
}

void MemoryLedger::Remove(void* p) {
  const std::lock_guard lock(mutex_);
  PHALANX_CHECK_EQ(entries_.erase(p), size_t{1});
}

std::vector<MemoryUse> MemoryLedger::uses() const {
  const std::lock_guard lock(mutex_);
  std::vector<MemoryUse> uses;
  for (const auto& [p, entry] : entries_) {
    auto use = std::find_if(uses.begin(), uses.end(), [&entry = entry](const MemoryUse& u) {
      return u.name == entry.name && u.where == entry.where;
    });
    if (use == uses.end()) {
      use = uses.insert(uses.end(), {.name = entry.name, .where = entry.where});
    }
    ++use->count;
    use->bytes += static_cast<int64_t>(entry.bytes);
  }
  std::stable_sort(uses.begin(), uses.end(),
                   [](const MemoryUse& a, const MemoryUse& b) { return a.bytes > b.bytes; });
  return uses;
}

int64_t MemoryLedger::num_allocations() const {
  const std::lock_guard lock(mutex_);
  return num_allocations_;
}

}  // namespace phalanx::cuda
