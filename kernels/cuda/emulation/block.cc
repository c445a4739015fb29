#include "kernels/cuda/emulation/block.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>

#include "kernels/base/check.h"

namespace phalanx::cuda::emulation {
namespace {

// Which block the calling OS thread executes, as a register of a GPU would say: compiled-in calls
// of kernels have no other way to know.
thread_local Block* current_block = nullptr;

// Between two arrays of shared memory.
constexpr size_t kRedZone = 64;
constexpr size_t kSharedAlignment = 128;

// Fibers live on stacks that the block owns.
struct KeptStack {
  void deallocate(boost::context::stack_context& /*stack*/) const noexcept {}
};

// A fiber that will not run again. Its stack is used for another without being unwound: kernels
// hold nothing that needs a destructor, and unwinding could not pass the compiler's calls of hooks.
void Abandon(boost::context::fiber&& fiber) {
  alignas(boost::context::fiber) std::byte storage[sizeof(boost::context::fiber)];
  new (storage) boost::context::fiber(std::move(fiber));
}

}  // namespace

Block& Block::Current() {
  PHALANX_CHECK(current_block != nullptr);
  return *current_block;
}

Block* Block::CurrentOrNull() { return current_block; }

Block::Block(DeviceMemory& memory, RaceDetector& races, std::minstd_rand& shuffle)
    : memory_(memory),
      races_(races),
      shuffle_(shuffle),
      shared_memory_(2 * Executor::kMaxSharedBytes + kSharedAlignment),
      shared_base_((reinterpret_cast<uintptr_t>(shared_memory_.data()) + kSharedAlignment - 1) /
                   kSharedAlignment * kSharedAlignment),
      shared_records_(Executor::kMaxSharedBytes) {
  void* const stacks = mmap(nullptr, kMaxThreads * kStackBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PHALANX_CHECK(stacks != MAP_FAILED);
  stacks_ = static_cast<std::byte*>(stacks);
  // The page at the low end of each stack: who runs out of it must not write into a neighbour's.
  for (size_t i = 0; i < kMaxThreads; ++i) {
    PHALANX_CHECK_EQ(mprotect(stacks_ + i * kStackBytes, 4096, PROT_NONE), 0);
  }
}

Block::~Block() { munmap(stacks_, kMaxThreads * kStackBytes); }

void Block::Start(int thread, const ThreadMain& body) {
  boost::context::stack_context stack;
  stack.size = kStackBytes;
  stack.sp = stacks_ + (static_cast<size_t>(thread) + 1) * kStackBytes;
  threads_[static_cast<size_t>(thread)].fiber = boost::context::fiber(
      std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack), KeptStack{},
      [this, thread, &body](boost::context::fiber&& scheduler) {
        Thread& self = threads_[static_cast<size_t>(thread)];
        self.scheduler = std::move(scheduler);
        body.function(body.context);
        self.done = true;
        return std::move(self.scheduler);
      });
}

std::string Block::Run(std::string_view kernel, const LaunchShape& shape, int x, int y,
                       const ThreadMain& body) {
  kernel_ = kernel;
  shape_ = &shape;
  x_ = x;
  y_ = y;
  fault_.clear();
  arrays_.clear();
  shared_used_ = 0;
  at_barrier_ = 0;
  named_barriers_ = {};
  const auto n = static_cast<size_t>(shape.threads);
  threads_.clear();
  threads_.resize(n);
  warps_.assign(n / kWarp, {});
  all_.resize(n);
  std::iota(all_.begin(), all_.end(), uint16_t{0});
  runnable_ = all_;
  for (int t = 0; t < shape.threads; ++t) Start(t, body);
  Block* const outer = std::exchange(current_block, this);
  size_t alive = n;
  while (alive > 0 && fault_.empty()) {
    if (runnable_.empty()) {
      fault_ = Deadlock();
      break;
    }
    std::swap(runnable_[shuffle_() % runnable_.size()], runnable_.back());
    running_ = runnable_.back();
    runnable_.pop_back();
    Thread& thread = Running();
    thread.fiber = std::move(thread.fiber).resume();
    if (thread.done) --alive;
  }
  current_block = outer;
  for (Thread& thread : threads_) {
    if (thread.fiber) Abandon(std::move(thread.fiber));
  }
  return fault_;
}

// ------------------------------------------------------------------------------------------------

void Block::Wait(std::string_view what) {
  Thread& thread = Running();
  thread.waits_for = what;
  thread.scheduler = std::move(thread.scheduler).resume();
  thread.waits_for = {};
}

void Block::Fault(int thread, std::string_view what) {
  fault_ = fmt::format("kernel {}, block ({}, {}), thread {}: {}", kernel_, x_, y_, thread, what);
  Wait("the end of the launch");
  std::abort();  // nobody resumes it
}

std::string Block::Deadlock() const {
  // One thread of each kind tells enough.
  std::string what;
  std::vector<std::string_view> seen;
  for (size_t t = 0; t < threads_.size(); ++t) {
    const std::string_view state = threads_[t].done ? "has left the kernel" : threads_[t].waits_for;
    if (std::find(seen.begin(), seen.end(), state) != seen.end()) continue;
    seen.push_back(state);
    what += fmt::format("{}thread {} {}{}", what.empty() ? "" : ", ", t,
                        threads_[t].done ? "" : "waits for ", state);
  }
  return fmt::format("kernel {}, block ({}, {}): no thread can go on: {}", kernel_, x_, y_, what);
}

void Block::SyncThreads() {
  if (++at_barrier_ < shape_->threads) return Wait("the block's barrier");
  at_barrier_ = 0;
  races_.Join(all_);
  for (int t = 0; t < shape_->threads; ++t) {
    if (t != running_) Release(t);
  }
}

void Block::SyncBarrier(int barrier, int threads) {
  static constexpr std::string_view kNames[] = {
      "",           "barrier 1",  "barrier 2",  "barrier 3", "barrier 4",  "barrier 5",
      "barrier 6",  "barrier 7",  "barrier 8",  "barrier 9", "barrier 10", "barrier 11",
      "barrier 12", "barrier 13", "barrier 14", "barrier 15"};
  if (barrier < 1 || barrier > 15) {
    Fault(running_, fmt::format("comes to barrier {}, allowed: 1 to 15", barrier));
  }
  if (threads < kWarp || threads % kWarp != 0 || threads > shape_->threads) {
    Fault(running_, fmt::format("comes to barrier {} of {} threads, allowed: multiples of 32 up to "
                                "the block's {}",
                                barrier, threads, shape_->threads));
  }
  NamedBarrier& named = named_barriers_[static_cast<size_t>(barrier)];
  if (named.arrived.empty()) named.threads = threads;
  if (named.threads != threads) {
    Fault(running_, fmt::format("comes to barrier {} of {} threads, thread {} to one of {}",
                                barrier, threads, named.arrived.front(), named.threads));
  }
  named.arrived.push_back(static_cast<uint16_t>(running_));
  if (static_cast<int>(named.arrived.size()) < threads) {
    return Wait(kNames[static_cast<size_t>(barrier)]);
  }
  const std::vector<uint16_t> met = std::exchange(named.arrived, {});
  for (const uint16_t t : met) {
    const int warp = t / kWarp;
    const auto lanes = std::count_if(met.begin(), met.end(),
                                     [warp](uint16_t other) { return other / kWarp == warp; });
    if (lanes != kWarp) {
      Fault(t, fmt::format("met at barrier {} with {} of its warp's 32 threads", barrier, lanes));
    }
  }
  races_.Join(met);
  for (const uint16_t t : met) {
    if (t != running_) Release(t);
  }
}

void Block::JoinWarp() {
  const auto warp = static_cast<size_t>(running_ / kWarp);
  races_.Join(std::span(all_).subspan(warp * kWarp, kWarp));
}

void Block::WarpMeet(std::string_view name, WarpOperation operation, void* argument) {
  const int first = running_ / kWarp * kWarp;
  Warp& warp = warps_[static_cast<size_t>(running_ / kWarp)];
  if (warp.arrived == 0) {
    warp.name = name;
    warp.operation = operation;
  } else if (warp.operation != operation || warp.name != name) {
    Fault(running_,
          fmt::format("comes to {} while other lanes of its warp are at {}", name, warp.name));
  }
  warp.arguments[running_ - first] = argument;
  if (++warp.arrived < kWarp) return Wait(name);
  warp.arrived = 0;
  operation(*this, warp.arguments);
  for (int t = first; t < first + kWarp; ++t) {
    if (t != running_) Release(t);
  }
}

// ------------------------------------------------------------------------------------------------

const Block::Array* Block::ArrayAt(uintptr_t address, size_t bytes) const {
  for (const Array& array : arrays_) {
    if (address >= array.begin && address + bytes <= array.end) return &array;
  }
  return nullptr;
}

void* Block::SharedArray(size_t bytes) {
  Thread& thread = Running();
  const size_t index = thread.shared_arrays++;
  if (index == arrays_.size()) {
    shared_used_ += bytes;
    if (shared_used_ > shape_->shared_bytes) {
      Fault(running_, fmt::format("takes {} bytes of shared memory, the launch has {}",
                                  shared_used_, shape_->shared_bytes));
    }
    const uintptr_t begin = arrays_.empty() ? shared_base_ : arrays_.back().end + kRedZone;
    PHALANX_CHECK_LE(begin + bytes, shared_base_ + 2 * Executor::kMaxSharedBytes);
    std::memset(SharedAt(begin), 0xff, bytes);
    arrays_.push_back({begin, begin + bytes});
  } else if (arrays_[index].end - arrays_[index].begin != bytes) {
    Fault(running_, fmt::format("takes {} bytes as its shared array {}, another thread took {}",
                                bytes, index, arrays_[index].end - arrays_[index].begin));
  }
  return SharedAt(arrays_[index].begin);
}

void Block::OnAccessBy(int thread, uintptr_t address, size_t bytes, size_t alignment,
                       Access access) {
  if (OnOwnStack(address)) return;
  const char* const verb = access == Access::kRead    ? "reads"
                           : access == Access::kWrite ? "writes"
                                                      : "updates";
  if (address % alignment != 0) {
    Fault(thread, fmt::format("{} {} bytes at an address that is no multiple of {}", verb, bytes,
                              alignment));
  }
  const bool in_shared = InShared(address);
  AccessRecord* records;
  if (in_shared) {
    if (ArrayAt(address, bytes) == nullptr) {
      Fault(thread, fmt::format("{} {} bytes of shared memory outside of its arrays", verb, bytes));
    }
    records = &shared_records_[(address - shared_base_) / 2];
  } else if (memory_.Owns(address)) {
    if (!memory_.Holds(address, bytes)) {
      Fault(thread, fmt::format("{} {} bytes of global memory {}", verb, bytes,
                                memory_.Complaint(address, bytes)));
    }
    records = memory_.Records(address);
  } else {
    Fault(thread, fmt::format("{} {} bytes of host memory", verb, bytes));
  }
  // What lies side by side mostly has the same past, and then the same now.
  AccessRecord before;
  AccessRecord after;
  for (size_t i = 0; i < (bytes + 1) / 2; ++i) {
    if (i > 0 && records[i].Equals(before)) {
      records[i] = after;
      continue;
    }
    before = records[i];
    if (in_shared) races_.ForgetOtherBlocks(records[i]);
    if (in_shared && access != Access::kWrite && !races_.Written(records[i])) {
      Fault(thread, fmt::format("{} shared memory that nobody has written, {} bytes behind the "
                                "start of its array",
                                verb, address + 2 * i - ArrayAt(address, bytes)->begin));
    }
    const auto race = access == Access::kRead    ? races_.OnRead(records[i], thread)
                      : access == Access::kWrite ? races_.OnWrite(records[i], thread)
                                                 : races_.OnAtomic(records[i], thread);
    after = records[i];
    if (!race) continue;
    Fault(thread, fmt::format("{} {} memory that {} {}, and nothing orders the two", verb,
                              in_shared ? "shared" : "global",
                              race->thread == RaceDetector::kElsewhere
                                  ? "a thread of another block"
                                  : fmt::format("thread {}", race->thread),
                              race->with_write ? "writes" : "reads"));
  }
}

// ------------------------------------------------------------------------------------------------

// The copy may happen at any time until it is waited for. So its target counts as written both now
// and then, and is unusable in between.
void Block::StartCopy(const PendingCopy& copy) {
  const auto target = reinterpret_cast<uintptr_t>(copy.shared);
  if (!InShared(copy.shared)) Fault(running_, "copies asynchronously to what is no shared memory");
  if (copy.valid_bytes < 0 || copy.valid_bytes > 16) {
    Fault(running_, fmt::format("copies {} of 16 bytes", copy.valid_bytes));
  }
  OnAccess(target, 16, 16, Access::kWrite);
  if (reinterpret_cast<uintptr_t>(copy.global) % 16 != 0) {
    Fault(running_, "copies asynchronously from an address that is no multiple of 16");
  }
  if (copy.valid_bytes > 0) {
    OnAccess(reinterpret_cast<uintptr_t>(copy.global), static_cast<size_t>(copy.valid_bytes), 1,
             Access::kRead);
  }
  std::memset(copy.shared, 0xff, 16);
  for (size_t i = 0; i < 8; ++i) shared_records_[(target - shared_base_) / 2 + i].write_block = 0;
  Running().copies.push_back(copy);
  Running().copies.back().group = Running().copy_group;
}

void Block::FinishCopies(int pending_groups) {
  Thread& thread = Running();
  const int last = thread.copy_group - 1 - pending_groups;
  const auto finished = [&](const PendingCopy& copy) {
    if (copy.group > last) return false;
    OnAccess(reinterpret_cast<uintptr_t>(copy.shared), 16, 16, Access::kWrite);
    std::memset(copy.shared, 0, 16);
    std::memcpy(copy.shared, copy.global, static_cast<size_t>(copy.valid_bytes));
    return true;
  };
  std::erase_if(thread.copies, finished);
}

}  // namespace phalanx::cuda::emulation
