// Writes small checkpoints for tests: the dummy weights of a config as safetensors files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/config.h"

namespace phalanx::testing {

// A folder that is removed with its content.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct RawTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string data;
};
using RawTensors = std::map<std::string, RawTensor>;

// All tensors of the config's model with the values that dummy weights of `seed` have.
RawTensors DummyCheckpoint(const Qwen2Config& config, uint64_t seed);

void WriteFile(const std::filesystem::path& path, const std::string& content);
std::string ReadFile(const std::filesystem::path& path);

// The bytes of a safetensors file with this header and data.
std::string SafetensorsBytes(const std::string& header, const std::string& data);
void WriteSafetensors(const std::filesystem::path& path, const RawTensors& tensors);
// `num_files` shards and their index.
void WriteSharded(const std::filesystem::path& folder, const RawTensors& tensors, int num_files);

}  // namespace phalanx::testing
