// One block of a launch while it runs: its fibers, its shared memory, what they wait for.
#pragma once

#include <array>
#include <boost/context/fiber.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cuda/emulation/device_memory.h"
#include "kernels/cuda/emulation/executor.h"
#include "kernels/cuda/emulation/race_detector.h"

namespace phalanx::cuda::emulation {

enum class Access : uint8_t { kRead, kWrite, kAtomic };

// What the lanes of a warp do together, once all have come: `lanes` are their arguments.
using WarpOperation = void (*)(Block& block, void* const (&lanes)[32]);

class Block {
 public:
  static constexpr int kMaxThreads = 1024;
  static constexpr int kWarp = 32;

  Block(DeviceMemory& memory, RaceDetector& races, std::minstd_rand& shuffle);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  // The block of the calling fiber. Aborts outside of a launch.
  static Block& Current();
  // Null outside of a launch.
  static Block* CurrentOrNull();

  // Runs all threads to their end or to the first fault, which is returned; empty: none.
  std::string Run(std::string_view kernel, const LaunchShape& shape, int x, int y,
                  const ThreadMain& body);

  const LaunchShape& shape() const { return *shape_; }
  int x() const { return x_; }
  int y() const { return y_; }
  int thread() const { return running_; }

  void OnAccess(uintptr_t address, size_t bytes, size_t alignment, Access access) {
    OnAccessBy(running_, address, bytes, alignment, access);
  }
  void OnAccessBy(int thread, uintptr_t address, size_t bytes, size_t alignment, Access access);
  // Ends the launch.
  [[noreturn]] void Fault(int thread, std::string_view what);

  void* SharedArray(size_t bytes);
  bool InShared(const void* p) const { return InShared(reinterpret_cast<uintptr_t>(p)); }

  void SyncThreads();
  void SyncBarrier(int barrier, int threads);
  // Waits for the other lanes of the warp; the last one to come performs the operation.
  void WarpMeet(std::string_view name, WarpOperation operation, void* argument);
  void JoinWarp();

  struct PendingCopy {
    void* shared;
    const void* global;
    int valid_bytes;
    int group;
  };
  void StartCopy(const PendingCopy& copy);
  void CommitCopies() { ++Running().copy_group; }
  void FinishCopies(int pending_groups);

 private:
  struct Thread {
    boost::context::fiber fiber{};      // while it does not run
    boost::context::fiber scheduler{};  // while it runs
    std::string_view waits_for{};
    bool done = false;
    size_t shared_arrays = 0;  // taken so far
    int copy_group = 0;
    std::vector<PendingCopy> copies{};
  };
  struct Warp {
    std::string_view name{};
    WarpOperation operation = nullptr;
    int arrived = 0;
    void* arguments[kWarp] = {};
  };
  struct NamedBarrier {
    int threads = 0;                  // that it is for
    std::vector<uint16_t> arrived{};  // so far
  };
  struct Array {
    uintptr_t begin;
    uintptr_t end;
  };

  Thread& Running() { return threads_[static_cast<size_t>(running_)]; }
  void Start(int thread, const ThreadMain& body);
  void Wait(std::string_view what);
  void Release(int thread) { runnable_.push_back(static_cast<uint16_t>(thread)); }
  bool InShared(uintptr_t address) const {
    return address - shared_base_ < Executor::kMaxSharedBytes * 2;
  }
  std::byte* SharedAt(uintptr_t address) {
    return shared_memory_.data() + (address - reinterpret_cast<uintptr_t>(shared_memory_.data()));
  }
  bool OnOwnStack(uintptr_t address) const {
    const std::byte* const low = stacks_ + static_cast<size_t>(running_) * kStackBytes;
    return address - reinterpret_cast<uintptr_t>(low) < kStackBytes;
  }
  const Array* ArrayAt(uintptr_t address, size_t bytes) const;
  std::string Deadlock() const;

  static constexpr size_t kStackBytes = size_t{128} << 10;

  DeviceMemory& memory_;
  RaceDetector& races_;
  std::minstd_rand& shuffle_;
  std::byte* stacks_;
  std::vector<std::byte> shared_memory_;
  uintptr_t shared_base_;
  std::vector<AccessRecord> shared_records_;

  std::string_view kernel_;
  const LaunchShape* shape_ = nullptr;
  int x_ = 0;
  int y_ = 0;
  int running_ = 0;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<uint16_t> runnable_;
  std::vector<uint16_t> all_;
  std::vector<Array> arrays_;
  size_t shared_used_ = 0;
  int at_barrier_ = 0;
  std::array<NamedBarrier, 16> named_barriers_;  // the first one is SyncThreads's
  std::string fault_;
};

}  // namespace phalanx::cuda::emulation
