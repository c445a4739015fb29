// A non-owning view of a dense matrix in the backend's memory.
#pragma once

#include <cstdint>

#include "kernels/base/check.h"
#include "kernels/base/dtype.h"

namespace phalanx {

// [rows, cols], row-major, `stride` elements from one row to the next (>= cols). Copied by value.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  template <typename T>
  T* row(int64_t r) const {
    PHALANX_DCHECK(sizeof(T) == SizeInBytes(dtype));
    PHALANX_DCHECK(r >= 0 && r < rows);
    return static_cast<T*>(data) + r * stride;
  }
  // The first `n` rows.
  TensorView Head(int64_t n) const {
    PHALANX_DCHECK(n <= rows);
    TensorView view = *this;
    view.rows = n;
    return view;
  }
};

inline TensorView MakeTensor(void* data, DType dtype, int64_t rows, int64_t cols) {
  return {data, dtype, rows, cols, cols};
}

}  // namespace phalanx
