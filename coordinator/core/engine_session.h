// The seam between the front and an attached worker group, whatever carries it.
#pragma once

#include <cstdint>

#include "phalanx/internal/engine.pb.h"

namespace phalanx {

// Thread-safe. No call blocks; after the group is gone all of them do nothing.
class EngineSession {
 public:
  virtual ~EngineSession() = default;

  virtual void Submit(internal::Submit submit) = 0;
  virtual void Cancel(uint64_t request) = 0;
  virtual void Drain() = 0;                            // no Submit follows
  virtual const internal::Register& info() const = 0;  // the token is cleared
};

}  // namespace phalanx
