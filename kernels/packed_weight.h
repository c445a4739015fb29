// A weight matrix in the layout that a backend's Linear wants, packed once at load.
//
// Callers know a weight only by its logical shape; the layout in memory is the backend's own and
// may depend on the instruction set. There is no second, unpacked copy: a tied embedding is looked
// up in the packed matrix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "kernels/base/dtype.h"

namespace phalanx {

enum class WeightLayout : uint8_t {
  kLinear,  // [out_features, in_features]
  // Gate and up projections in one matrix: logical rows [0, out_features / 2) are gate, the rest
  // up. out_features is twice the (local) intermediate size.
  kGateUp,
};

struct WeightSpec {
  std::string name{};  // for messages
  int64_t out_features = 0;
  int64_t in_features = 0;
  DType dtype = DType::kBF16;  // kBF16, kF16 or kF32; kept as it is, never rounded to another
  WeightLayout layout = WeightLayout::kLinear;
};

class PackedWeight {
 public:
  explicit PackedWeight(WeightSpec spec) : spec_(std::move(spec)) {}
  virtual ~PackedWeight() = default;
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  const WeightSpec& spec() const { return spec_; }
  virtual size_t size_bytes() const = 0;  // resident, padding included

 private:
  WeightSpec spec_;
};

}  // namespace phalanx
