#include "parallel/shared_region.h"

#include <cstring>
#include <new>

namespace phalanx {
namespace {

constexpr std::align_val_t kAlignment{128};

class HeapRegion final : public SharedRegion {
 public:
  explicit HeapRegion(size_t size_bytes)
      : size_bytes_(size_bytes),
        data_(static_cast<std::byte*>(::operator new(size_bytes, kAlignment))) {
    std::memset(data_, 0, size_bytes);
  }
  ~HeapRegion() override { ::operator delete(data_, kAlignment); }
  HeapRegion(const HeapRegion&) = delete;
  HeapRegion& operator=(const HeapRegion&) = delete;

  std::byte* data() const override { return data_; }
  size_t size_bytes() const override { return size_bytes_; }

 private:
  size_t size_bytes_;
  std::byte* data_;
};

}  // namespace

std::shared_ptr<SharedRegion> MakeHeapRegion(size_t size_bytes) {
  return std::make_shared<HeapRegion>(size_bytes);
}

}  // namespace phalanx
