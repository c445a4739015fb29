// Shows on the liveness board that a rank has entered a collective and waits in it.
#pragma once

#include "parallel/liveness.h"

namespace phalanx {

class InCollective {
 public:
  explicit InCollective(LivenessRecord& record) : record_(record) {
    record_.collectives.fetch_add(1, std::memory_order_relaxed);
    record_.is_waiting.store(1, std::memory_order_relaxed);
  }
  ~InCollective() { record_.is_waiting.store(0, std::memory_order_relaxed); }
  InCollective(const InCollective&) = delete;
  InCollective& operator=(const InCollective&) = delete;

 private:
  LivenessRecord& record_;
};

}  // namespace phalanx
