// QkvRopeAppend and PagedAttention on a device.
#pragma once

#include <cstdint>
#include <string>

#include "bench/device_case.h"

namespace phalanx {

struct DeviceAttentionShape {
  std::string name;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t num_seqs = 1;
  int64_t new_tokens = 1;  // rows of each sequence in the step
  int64_t context = 1;     // tokens of each sequence, the new ones included
};

// One case each. Layers of the cache rotate.
DeviceCaseGroup DeviceAttentionCases(const DeviceAttentionShape& shape);
DeviceCaseGroup DeviceRopeCases(const DeviceAttentionShape& shape);

}  // namespace phalanx
