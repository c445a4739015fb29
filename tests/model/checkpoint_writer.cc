#include "tests/model/checkpoint_writer.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "model/weight_table.h"

namespace phalanx::testing {

using nlohmann::json;

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "phalanx-test-XXXXXX").string();
  PHALANX_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

RawTensors DummyCheckpoint(const Qwen2Config& config, uint64_t seed) {
  const ShardSpec whole = MakeShardSpec(
      {config.num_heads, config.num_kv_heads, config.intermediate_size, config.vocab_size}, 0, 1);
  EmbeddingNames names;
  if (config.tie_word_embeddings) names.lm_head = names.embedding;
  RawTensors tensors;
  for (const WeightRow& row : BuildWeightTable(config, whole, names)) {
    const DummyTensor dummy(seed, row.name, row.dummy_distribution());
    const auto row_bytes = static_cast<size_t>(row.cols) * SizeInBytes(config.dtype);
    RawTensor& tensor = tensors[row.name];
    tensor.dtype = Name(config.dtype);
    tensor.shape = row.shape();
    tensor.data.resize(static_cast<size_t>(row.rows) * row_bytes);
    for (int64_t r = 0; r < row.rows; ++r) {
      char* begin = tensor.data.data() + static_cast<size_t>(r) * row_bytes;
      dummy.Fill(r, 0, config.dtype, std::as_writable_bytes(std::span(begin, row_bytes)));
    }
  }
  return tensors;
}

void WriteFile(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string SafetensorsBytes(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(header.size() >> (8 * i) & 0xff));
  return bytes + header + data;
}

void WriteSafetensors(const std::filesystem::path& path, const RawTensors& tensors) {
  json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {data.size(), data.size() + tensor.data.size()}}};
    data += tensor.data;
  }
  WriteFile(path, SafetensorsBytes(header.dump(), data));
}

void WriteSharded(const std::filesystem::path& folder, const RawTensors& tensors, int num_files) {
  std::vector<RawTensors> files(static_cast<size_t>(num_files));
  json index = {{"metadata", json::object()}, {"weight_map", json::object()}};
  const auto file_name = [&](size_t i) {
    return fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, num_files);
  };
  size_t next = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t file = next++ % files.size();
    files[file][name] = tensor;
    index["weight_map"][name] = file_name(file);
  }
  for (size_t i = 0; i < files.size(); ++i) WriteSafetensors(folder / file_name(i), files[i]);
  WriteFile(folder / "model.safetensors.index.json", index.dump());
}

}  // namespace phalanx::testing
