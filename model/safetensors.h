// Checkpoint files in the safetensors format, read with pread; nothing is mapped.
//
// A file is: 8 bytes little-endian header length n, n bytes of JSON {"name": {"dtype", "shape",
// "data_offsets": [begin, end)}, ..., "__metadata__": {...}}, then the data, offsets relative to
// its start. The tensors tile the data exactly: no gap, no overlap, nothing left over. Format:
// https://github.com/huggingface/safetensors. Files are not trusted: everything is checked before
// anything of a size that the file states is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/base/file.h"
#include "kernels/base/status.h"

namespace phalanx {

// "[2, 3]"
std::string ShowShape(std::span<const int64_t> shape);

// Of a weight that is floats, as files spell it: BF16, F16 or F32; none: another.
std::optional<DType> WeightDType(std::string_view name);

class SafetensorsFile {
 public:
  struct Entry {
    std::string dtype;  // as the file spells it; kinds that no model of ours uses may occur
    std::vector<int64_t> shape;
    int64_t begin = 0;  // bytes from the start of the file
    int64_t end = 0;
  };

  // Reads and validates the header. Errors name the file and, where one is at fault, the tensor.
  static StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::filesystem::path& path);

  const std::string& path() const { return file_.path(); }
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  int64_t header_bytes() const { return header_bytes_; }

  // Fills `out` from byte `offset` of the file. As RegularFile::Read.
  Status Read(int64_t offset, std::span<std::byte> out) const { return file_.Read(offset, out); }

 private:
  explicit SafetensorsFile(RegularFile file) : file_(std::move(file)) {}
  Status ReadHeader();
  Status ParseHeader(std::string_view text, int64_t data_bytes);

  RegularFile file_;
  int64_t header_bytes_ = 0;  // the length field included
  std::map<std::string, Entry, std::less<>> entries_;
};

// A tensor that is where and what the caller expects.
struct TensorLocation {
  const SafetensorsFile* file = nullptr;  // owned by the Checkpoint
  DType dtype = DType::kF32;
  int64_t begin = 0;  // bytes from the start of the file
};

// All the weights of a model folder: model.safetensors, or the shards that
// model.safetensors.index.json names.
class Checkpoint {
 public:
  static StatusOr<Checkpoint> Open(const std::filesystem::path& model_dir);

  bool Contains(std::string_view tensor) const;
  // The tensor, whose dtype must be BF16, F16 or F32 and whose shape must be `shape`; else an error
  // that names file and tensor and shows what was expected and what was found.
  StatusOr<TensorLocation> Find(std::string_view tensor, std::span<const int64_t> shape) const;
  // The same of integers: `dtype` as files spell it, such as "I32". The location's dtype is kI8.
  StatusOr<TensorLocation> FindIntegers(std::string_view tensor, std::string_view dtype,
                                        std::span<const int64_t> shape) const;
  // Which file has the tensor; null: none.
  const SafetensorsFile* FileOf(std::string_view tensor) const;
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }
  int64_t header_bytes() const;  // of all files

 private:
  std::string description_;  // what was opened, for messages
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const SafetensorsFile*, std::less<>> file_of_;
};

}  // namespace phalanx
