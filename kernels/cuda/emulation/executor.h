// Executes a kernel's grid on the calling CPU thread, strictly: what a GPU would let pass by luck
// is a fault here.
//
// Blocks run one behind the other in a shuffled order. Each thread of a block is a fiber; between
// barriers they run in a shuffled order, too, so a kernel that relies on lockstep gives wrong
// results or is caught. Both orders follow from a seed. Caught are:
//
//   - accesses outside of device allocations and of what a block took of its shared memory, and to
//     host memory; addresses that are not aligned to the access
//   - races on shared and global memory, between threads and between blocks of a launch
//     (kernels/cuda/emulation/race_detector.h)
//   - shared memory that is read before anybody wrote it, an asynchronous copy's target before its
//     wait included; it holds NaNs then
//   - barriers that some threads do not reach, warp operations that lanes do not take together
//   - a launch whose shape no GPU takes, or whose shared memory is smaller than what its blocks
//   take
//
// Accesses are seen because kernels are compiled with -fsanitize=thread and call the functions of
// access_hooks.cc in place of that sanitizer's own runtime. Not seen: bank conflicts, coalescing,
// occupancy, the weak memory model beyond races, accesses of code that was compiled without the
// flag.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "kernels/base/status.h"
#include "kernels/cuda/emulation/device_memory.h"
#include "kernels/cuda/emulation/race_detector.h"

namespace phalanx::cuda::emulation {

struct LaunchShape {
  int grid_x = 1;
  int grid_y = 1;
  int threads = 32;  // of a block; a multiple of 32, at most 1,024
  size_t shared_bytes = 0;
};

// What each thread of a launch runs.
struct ThreadMain {
  void (*function)(const void* context) = nullptr;
  const void* context = nullptr;
};

class Block;

class Executor {
 public:
  // Hopper's limit; sm_80 has 163 KiB, sm_86, sm_89 and sm_12x 99 KiB.
  static constexpr size_t kMaxSharedBytes = 227 * 1024;

  // `memory` outlives the executor. Blocks may take `max_shared_bytes`, at most kMaxSharedBytes.
  Executor(DeviceMemory& memory, uint64_t seed, size_t max_shared_bytes = kMaxSharedBytes);
  ~Executor();

  // Runs `body` once for each thread of the grid. INTERNAL with the first fault, naming the kernel,
  // the block and the thread; what else the launch would have done is then undone or not.
  Status Run(std::string_view kernel, const LaunchShape& shape, const ThreadMain& body);

  size_t max_shared_bytes() const { return max_shared_bytes_; }
  // How often each kernel was launched.
  const std::map<std::string, int64_t, std::less<>>& launches() const { return launches_; }

 private:
  DeviceMemory& memory_;
  size_t max_shared_bytes_;
  std::minstd_rand shuffle_;
  RaceDetector races_;
  std::unique_ptr<Block> block_;
  uint32_t blocks_run_ = 0;
  std::map<std::string, int64_t, std::less<>> launches_;
};

}  // namespace phalanx::cuda::emulation
