#include "bench/cublas.h"

#include <dlfcn.h>

namespace phalanx {
namespace {

constexpr const char* kName = "libcublas.so.13";

// cublas_api.h and library_types.h of CUDA 13.
using CublasStatus = int;  // 0: success
enum CublasOperation : int { kNone = 0, kTranspose = 1 };
enum CudaDataType : int { kFloat32 = 0, kFloat16 = 2, kBFloat16 = 14 };
enum CublasComputeType : int { kCompute32F = 68 };
enum CublasGemmAlgo : int { kDefaultAlgo = -1 };

Status Failed(const char* function, CublasStatus status) {
  return UnavailableError("{}: status {} of cublasStatus_t", function, status);
}

}  // namespace

struct Cublas::Functions {
  CublasStatus (*create)(void** handle) = nullptr;
  CublasStatus (*destroy)(void* handle) = nullptr;
  CublasStatus (*get_version)(void* handle, int* version) = nullptr;
  CublasStatus (*set_stream)(void* handle, void* stream) = nullptr;
  CublasStatus (*gemm_ex)(void* handle, CublasOperation transa, CublasOperation transb, int m,
                          int n, int k, const void* alpha, const void* a, CudaDataType a_type,
                          int lda, const void* b, CudaDataType b_type, int ldb, const void* beta,
                          void* c, CudaDataType c_type, int ldc, CublasComputeType compute_type,
                          CublasGemmAlgo algo) = nullptr;
};

Cublas::Cublas(std::unique_ptr<Functions> functions) : functions_(std::move(functions)) {}

Cublas::~Cublas() {
  if (handle_ != nullptr) functions_->destroy(handle_);
}

StatusOr<std::unique_ptr<Cublas>> Cublas::Load(void* stream) {
  void* const library = dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const error = dlerror();
    return NotFoundError("{}", error == nullptr ? kName : error);
  }
  auto functions = std::make_unique<Functions>();
  const auto find = [&](const char* name, auto*& function) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    return function != nullptr;
  };
  if (!find("cublasCreate_v2", functions->create) ||
      !find("cublasDestroy_v2", functions->destroy) ||
      !find("cublasGetVersion_v2", functions->get_version) ||
      !find("cublasSetStream_v2", functions->set_stream) ||
      !find("cublasGemmEx", functions->gemm_ex)) {
    return UnavailableError("{} lacks a function that CUDA 13's has", kName);
  }
  std::unique_ptr<Cublas> cublas(new Cublas(std::move(functions)));
  if (const CublasStatus status = cublas->functions_->create(&cublas->handle_); status != 0) {
    return Failed("cublasCreate", status);
  }
  if (const CublasStatus status = cublas->functions_->set_stream(cublas->handle_, stream);
      status != 0) {
    return Failed("cublasSetStream", status);
  }
  return cublas;
}

std::string Cublas::version() const {
  int version = 0;
  functions_->get_version(handle_, &version);
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

// Columns first, as cuBLAS counts, a row-major matrix is its own transpose: out^T = w x^T.
Status Cublas::Run(const Linear& linear) {
  const CudaDataType type = linear.dtype == DType::kBF16 ? kBFloat16 : kFloat16;
  const auto m = static_cast<int>(linear.out_features);
  const auto n = static_cast<int>(linear.rows);
  const auto k = static_cast<int>(linear.in);
  const float one = 1.0F;
  const float zero = 0.0F;
  const CublasStatus status = functions_->gemm_ex(
      handle_, kTranspose, kNone, m, n, k, &one, linear.weight, type, k, linear.x, type, k, &zero,
      linear.out, kFloat32, m, kCompute32F, kDefaultAlgo);
  return status == 0 ? OkStatus() : Failed("cublasGemmEx", status);
}

}  // namespace phalanx
