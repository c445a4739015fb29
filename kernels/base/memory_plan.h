// Memory that is set aside before the first step: named buffers that are allocated together, and
// what a backend holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

class MemoryPlan {
 public:
  static constexpr size_t kAlignment = 256;  // of every part

  struct Part {
    std::string name;
    size_t bytes = 0;
    void** place = nullptr;
  };

  // *place, which outlives the plan, becomes the part's address once the plan is allocated.
  void Add(std::string_view name, size_t bytes, void** place) {
    parts_.push_back({std::string(name), bytes, place});
  }
  const std::vector<Part>& parts() const { return parts_; }

  // Of one block that holds all parts, one behind the other.
  size_t block_bytes() const;
  // Tells all parts their places in such a block.
  void PlaceIn(void* block) const;
  // RESOURCE_EXHAUSTED naming the first part that does not fit behind those before it, its size,
  // the plan's and what is free.
  Status CheckFits(int64_t free_bytes) const;

 private:
  std::vector<Part> parts_;
};

// What a backend holds under one name; weights of all layers count together.
struct MemoryUse {
  std::string name;
  enum class Where : uint8_t { kDevice, kPinnedHost } where = Where::kDevice;
  int64_t count = 0;
  int64_t bytes = 0;
};

// "model.layers.17.mlp.down_proj.weight" without the number: "model.layers.*.mlp.down_proj.weight".
std::string NameOfAllLayers(std::string_view name);

}  // namespace phalanx
