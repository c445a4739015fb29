// Shows on the liveness board that a rank has entered a collective and waits in it.
#pragma once

#include "parallel/liveness.h"

namespace phalanx {

// Who waits for a collective that the rank has entered before.
inline void ShowWait(LivenessRecord& record) {
  record.is_waiting.store(1, std::memory_order_relaxed);
}
inline void EndShownWait(LivenessRecord& record) {
  record.is_waiting.store(0, std::memory_order_relaxed);
}

class InCollective {
 public:
  explicit InCollective(LivenessRecord& record) : record_(record) {
    record_.collectives.fetch_add(1, std::memory_order_relaxed);
    ShowWait(record_);
  }
  ~InCollective() { EndShownWait(record_); }
  InCollective(const InCollective&) = delete;
  InCollective& operator=(const InCollective&) = delete;

 private:
  LivenessRecord& record_;
};

}  // namespace phalanx
