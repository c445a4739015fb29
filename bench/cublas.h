// cuBLAS as a comparator: the library is loaded where it is there, and nothing but benchmarks may
// use it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/base/dtype.h"
#include "kernels/base/status.h"

namespace phalanx {

class Cublas {
 public:
  // Enqueues on `stream`, a cudaStream_t of the current device. NOT_FOUND with the loader's words
  // where there is no libcublas.so.13; UNAVAILABLE where it cannot be used here.
  static StatusOr<std::unique_ptr<Cublas>> Load(void* stream);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  std::string version() const;

  // out = x w^T, f32 accumulation; all dense, row after row, in the device's memory.
  struct Linear {
    int64_t rows = 0;
    int64_t in = 0;
    int64_t out_features = 0;
    DType dtype = DType::kBF16;    // or kF16
    const void* x = nullptr;       // [rows, in]
    const void* weight = nullptr;  // [out_features, in]
    float* out = nullptr;          // [rows, out_features]
  };
  // cublasGemmEx, enqueued; an algorithm of the library's choice.
  Status Run(const Linear& linear);

 private:
  struct Functions;
  explicit Cublas(std::unique_ptr<Functions> functions);

  std::unique_ptr<Functions> functions_;
  void* handle_ = nullptr;
};

}  // namespace phalanx
