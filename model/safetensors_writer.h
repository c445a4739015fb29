// Writes a checkpoint file in the safetensors format (model/safetensors.h), tensor after tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

struct TensorToWrite {
  std::string name;
  std::string dtype;  // as files spell it
  std::vector<int64_t> shape;
  int64_t size_bytes = 0;
};

class SafetensorsWriter {
 public:
  // The header goes out at once; data follow in the order of `tensors`. Errors name the path.
  static StatusOr<SafetensorsWriter> Create(const std::filesystem::path& path,
                                            std::span<const TensorToWrite> tensors);

  Status Append(std::span<const std::byte> data);
  // All is on disk. DATA_LOSS where it is not; to be called once, with all data appended.
  Status Finish();

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  SafetensorsWriter(std::string path, std::FILE* file, int64_t left)
      : path_(std::move(path)), file_(file), left_bytes_(left) {}

  Status Failed() const;

  std::string path_;
  std::unique_ptr<std::FILE, Closer> file_;
  int64_t left_bytes_;
};

}  // namespace phalanx
