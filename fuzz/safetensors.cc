// A safetensors file: it is refused with a reason, or every tensor lies within it, with the bytes
// that its shape asks for, and none over another.
#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "fuzz/scratch_folder.h"
#include "kernels/base/check.h"

namespace {

using phalanx::SafetensorsFile;

constexpr char kName[] = "model.safetensors";

void CheckFile(const SafetensorsFile& file, int64_t file_bytes) {
  std::vector<std::pair<int64_t, int64_t>> extents;
  for (const auto& [name, entry] : file.entries()) {
    PHALANX_CHECK(file.header_bytes() <= entry.begin);
    PHALANX_CHECK(entry.begin <= entry.end && entry.end <= file_bytes);
    extents.emplace_back(entry.begin, entry.end);
    std::array<std::byte, 8> bytes{};
    const auto count =
        std::min<int64_t>(entry.end - entry.begin, static_cast<int64_t>(bytes.size()));
    PHALANX_CHECK(file.Read(entry.begin, std::span(bytes).first(static_cast<size_t>(count))).ok());
  }
  std::sort(extents.begin(), extents.end());
  int64_t end = file.header_bytes();
  for (const auto& [first, last] : extents) {
    PHALANX_CHECK(first == end);
    end = last;
  }
  PHALANX_CHECK(end == file_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const phalanx::fuzz::ScratchFolder folder;
  folder.Write(kName, {reinterpret_cast<const char*>(data), size});
  const auto checkpoint = phalanx::Checkpoint::Open(folder.path());
  if (!checkpoint.ok()) {
    PHALANX_CHECK(!checkpoint.status().message().empty());
    return 0;
  }
  for (const auto& file : checkpoint->files()) CheckFile(*file, static_cast<int64_t>(size));
  return 0;
}
