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
#include "kernels/base/tensor_view.h"

namespace phalanx {

enum class WeightLayout : uint8_t {
  kLinear,  // [out_features, in_features]
  // Gate and up projections in one matrix: logical rows [0, out_features / 2) are gate, the rest
  // up. out_features is twice the (local) intermediate size.
  kGateUp,
};

// Small integers with scales: weight[o][k] = values[o][k] * scales[o][group of k]. Groups of
// group_size input features are counted from the whole row's first feature; where ranks share a row
// each has a part of it, which may begin and end within a group.
struct WeightQuantization {
  int bits = 0;               // of a value: 8 or 4, signed; 0: not quantized
  int64_t group_size = 0;     // a multiple of kQuantizationUnit; 0: one group a row
  int64_t first_feature = 0;  // where this part of the row begins

  bool is_quantized() const { return bits != 0; }
  int64_t GroupOf(int64_t feature) const {
    return group_size == 0 ? 0 : (first_feature + feature) / group_size - first_group();
  }
  // Groups of which this part has any of its `in_features`.
  int64_t NumGroups(int64_t in_features) const {
    return in_features == 0 ? 0 : GroupOf(in_features - 1) + 1;
  }

 private:
  int64_t first_group() const { return first_feature / group_size; }
};

inline constexpr int64_t kQuantizationUnit = 64;

struct WeightSpec {
  std::string name{};  // for messages
  int64_t out_features = 0;
  int64_t in_features = 0;
  // kBF16, kF16 or kF32, kept as it is, never rounded to another; kI8 where it is quantized.
  DType dtype = DType::kBF16;
  WeightLayout layout = WeightLayout::kLinear;
  WeightQuantization quantization{};
};

// Rows of a quantized weight.
struct QuantizedRows {
  TensorView values;  // [n, in_features] I8, within -8..7 for 4 bits
  TensorView scales;  // [n, NumGroups(in_features)] F32
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
