#include "kernels/cpu/mapped_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace phalanx {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kHugePageBytes = size_t{2} << 20;

constexpr size_t RoundUp(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

MappedMemory::~MappedMemory() {
  if (data_ != nullptr) munmap(data_, size_bytes_);
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

MappedMemory& MappedMemory::operator=(MappedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

StatusOr<MappedMemory> MappedMemory::Allocate(size_t bytes, std::string_view name) {
  MappedMemory memory;
  if (bytes == 0) return memory;
  const bool huge = bytes >= kHugePageBytes;
  const auto exhausted = [&] {
    return ResourceExhaustedError("{}: cannot allocate {} bytes: {}", name, bytes,
                                  std::strerror(errno));
  };
  if (bytes > SIZE_MAX / 2) {
    errno = ENOMEM;
    return exhausted();
  }
  const size_t size = RoundUp(bytes, kPageBytes);
  const size_t mapped = huge ? size + kHugePageBytes : size;
  void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return exhausted();
  auto* begin = static_cast<std::byte*>(base);
  if (huge) {
    const auto address = reinterpret_cast<uintptr_t>(base);
    const size_t head = RoundUp(address, kHugePageBytes) - address;
    if (head > 0) munmap(begin, head);
    if (mapped - head > size) munmap(begin + head + size, mapped - head - size);
    begin += head;
    (void)madvise(begin, size, MADV_HUGEPAGE);  // advice: without it everything works, slower
  }
  memory.data_ = begin;
  memory.size_bytes_ = size;
  return memory;
}

}  // namespace phalanx
