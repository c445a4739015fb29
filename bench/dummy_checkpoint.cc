// Writes the dummy weights of a config as a checkpoint, to measure how long one takes to load where
// none can be fetched:
//
//   dummy_checkpoint --config FOLDER --output FOLDER [--seed S]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/cpus.h"
#include "model/config.h"
#include "model/safetensors_writer.h"
#include "model/weight_table.h"

namespace phalanx {
namespace {

namespace fs = std::filesystem;

struct Options {
  fs::path config;
  fs::path output;
  uint64_t seed = 0;
};

constexpr int64_t kBytesAtOnce = int64_t{64} << 20;

// Rows of a tensor, made on all CPUs.
std::vector<std::byte> MakeRows(const DummyTensor& tensor, const WeightRow& row, DType dtype,
                                Range rows) {
  const int64_t row_bytes = row.cols * static_cast<int64_t>(SizeInBytes(dtype));
  std::vector<std::byte> bytes(static_cast<size_t>(rows.size() * row_bytes));
  std::vector<std::thread> threads;
  const int num_threads = NumUsableCpus();
  for (int t = 0; t < num_threads; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t r = rows.begin + t; r < rows.end; r += num_threads) {
        tensor.Fill(r, 0, dtype,
                    std::span(bytes).subspan(static_cast<size_t>((r - rows.begin) * row_bytes),
                                             static_cast<size_t>(row_bytes)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return bytes;
}

Status Write(const Options& options) {
  PHALANX_ASSIGN_OR_RETURN(const Qwen2Config config, LoadConfig(options.config));
  EmbeddingNames names;
  if (config.tie_word_embeddings) names.lm_head = names.embedding;
  const ShardSpec whole = MakeShardSpec({.num_heads = config.num_heads,
                                         .num_kv_heads = config.num_kv_heads,
                                         .intermediate_size = config.intermediate_size,
                                         .vocab_size = config.vocab_size},
                                        0, 1);
  const std::vector<WeightRow> table = BuildWeightTable(config, whole, names);
  std::vector<TensorToWrite> tensors;
  for (const WeightRow& row : table) {
    tensors.push_back(
        {.name = row.name,
         .dtype = std::string(Name(config.dtype)),
         .shape = row.shape(),
         .size_bytes = row.rows * row.cols * static_cast<int64_t>(SizeInBytes(config.dtype))});
  }
  std::error_code error;
  fs::create_directories(options.output, error);
  fs::copy_file(options.config / "config.json", options.output / "config.json",
                fs::copy_options::overwrite_existing, error);
  if (error) {
    return InvalidField("--output", options.output.string(),
                        fmt::format("a folder that can be written: {}", error.message()));
  }
  PHALANX_ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::Create(options.output / "model.safetensors", tensors));
  for (const WeightRow& row : table) {
    const DummyTensor tensor(options.seed, row.name, row.dummy_distribution());
    const int64_t row_bytes = row.cols * static_cast<int64_t>(SizeInBytes(config.dtype));
    const int64_t rows_at_once = std::max<int64_t>(1, kBytesAtOnce / row_bytes);
    for (int64_t r = 0; r < row.rows; r += rows_at_once) {
      PHALANX_RETURN_IF_ERROR(writer.Append(
          MakeRows(tensor, row, config.dtype, {r, std::min(r + rows_at_once, row.rows)})));
    }
  }
  return writer.Finish();
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) {
  phalanx::Options options;
  CLI::App app("Writes the dummy weights of a config as a checkpoint.", "dummy_checkpoint");
  app.add_option("--config", options.config, "folder with a config.json")->required();
  app.add_option("--output", options.output, "folder of the new checkpoint")->required();
  app.add_option("--seed", options.seed, "of the weights")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const phalanx::Status status = phalanx::Write(options);
  if (status.ok()) return 0;
  fmt::print(stderr, "dummy_checkpoint: {}\n", status.message());
  return 2;
}
