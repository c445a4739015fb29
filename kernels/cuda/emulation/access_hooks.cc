// What the compiler calls for each memory access of code compiled with -fsanitize=thread. That
// sanitizer's own runtime is not linked; these stand in its place and tell the block that runs.
//
// An access is not reported where the compiler proves that it stays on the thread's stack. What
// runs outside of a launch (the host code beside a kernel in its file) is not checked.
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/emulation/block.h"

namespace {

using phalanx::cuda::emulation::Access;
using phalanx::cuda::emulation::Block;

void Report(void* p, size_t bytes, Access access) {
  Block* const block = Block::CurrentOrNull();
  if (block != nullptr) block->OnAccess(reinterpret_cast<uintptr_t>(p), bytes, bytes, access);
}

void ReportRange(void* p, size_t bytes, Access access) {
  Block* const block = Block::CurrentOrNull();
  if (block != nullptr) block->OnAccess(reinterpret_cast<uintptr_t>(p), bytes, 1, access);
}

}  // namespace

// The names and signatures are the compiler's. "Unaligned" says that it could not prove the address
// aligned; a GPU wants it aligned all the same.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
#define PHALANX_DEFINE_HOOKS(bytes)                                               \
  void __tsan_read##bytes(void* p) { Report(p, bytes, Access::kRead); }           \
  void __tsan_write##bytes(void* p) { Report(p, bytes, Access::kWrite); }         \
  void __tsan_unaligned_read##bytes(void* p) { Report(p, bytes, Access::kRead); } \
  void __tsan_unaligned_write##bytes(void* p) { Report(p, bytes, Access::kWrite); }

extern "C" {
PHALANX_DEFINE_HOOKS(1)
PHALANX_DEFINE_HOOKS(2)
PHALANX_DEFINE_HOOKS(4)
PHALANX_DEFINE_HOOKS(8)
PHALANX_DEFINE_HOOKS(16)
void __tsan_read_range(void* p, size_t bytes) { ReportRange(p, bytes, Access::kRead); }
void __tsan_write_range(void* p, size_t bytes) { ReportRange(p, bytes, Access::kWrite); }
void __tsan_vptr_read(void** /*p*/) {}
void __tsan_vptr_update(void** /*p*/, void* /*value*/) {}
void __tsan_func_entry(void* /*caller*/) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}
#undef PHALANX_DEFINE_HOOKS
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
