#include "kernels/cuda/emulation/executor.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/cuda/emulation/block.h"

namespace phalanx::cuda::emulation {
namespace {

constexpr int kMaxGridY = 65535;

Status CheckShape(std::string_view kernel, const LaunchShape& shape, size_t max_shared_bytes) {
  if (shape.threads < Block::kWarp || shape.threads > Block::kMaxThreads ||
      shape.threads % Block::kWarp != 0) {
    return InternalError("kernel {}: {} threads a block, allowed: multiples of 32 up to 1024",
                         kernel, shape.threads);
  }
  if (shape.grid_x < 1 || shape.grid_y < 1 || shape.grid_y > kMaxGridY) {
    return InternalError("kernel {}: a grid of {} x {}, allowed: 1 to 2147483647 x 1 to {}", kernel,
                         shape.grid_x, shape.grid_y, kMaxGridY);
  }
  if (shape.shared_bytes > max_shared_bytes) {
    return InternalError("kernel {}: {} bytes of shared memory, allowed: 0 to {}", kernel,
                         shape.shared_bytes, max_shared_bytes);
  }
  return OkStatus();
}

}  // namespace

Executor::Executor(DeviceMemory& memory, uint64_t seed, size_t max_shared_bytes)
    : memory_(memory),
      max_shared_bytes_(max_shared_bytes),
      shuffle_(static_cast<std::minstd_rand::result_type>(seed % 2147483646) + 1),
      block_(std::make_unique<Block>(memory, races_, shuffle_)) {
  PHALANX_CHECK_LE(max_shared_bytes, kMaxSharedBytes);
}

Executor::~Executor() = default;

Status Executor::Run(std::string_view kernel, const LaunchShape& shape, const ThreadMain& body) {
  PHALANX_RETURN_IF_ERROR(CheckShape(kernel, shape, max_shared_bytes_));
  auto launches = launches_.find(kernel);
  if (launches == launches_.end()) launches = launches_.emplace(kernel, 0).first;
  ++launches->second;
  const int64_t count = int64_t{shape.grid_x} * shape.grid_y;
  // Numbers of blocks are never used twice; a service of many days starts them anew.
  constexpr uint32_t kLastNumber = 0xfffffff0u;
  if (count > kLastNumber - blocks_run_) {
    memory_.ForgetAccesses();
    block_ = std::make_unique<Block>(memory_, races_, shuffle_);
    blocks_run_ = 0;
  }
  const uint32_t first = blocks_run_ + 1;
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::shuffle(order.begin(), order.end(), shuffle_);
  for (const int64_t block : order) {
    races_.BeginBlock(++blocks_run_, first, shape.threads);
    const std::string fault = block_->Run(kernel, shape, static_cast<int>(block % shape.grid_x),
                                          static_cast<int>(block / shape.grid_x), body);
    if (!fault.empty()) return InternalError("{}", fault);
  }
  return OkStatus();
}

}  // namespace phalanx::cuda::emulation
