#include "model/quantize_checkpoint.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/base/file.h"
#include "model/compressed_tensors.h"
#include "model/json_fields.h"
#include "model/safetensors.h"
#include "model/safetensors_writer.h"
#include "model/stored_floats.h"

namespace phalanx {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr int64_t kChunkBytes = 16 << 20;
constexpr int64_t kMaxConfigBytes = 16 << 20;

StoredIntegers FormOf(Quantization quantization) {
  if (quantization == Quantization::kInt4) {
    return {StoredIntegers::Form::kPacked, 4, kInt4GroupSize};
  }
  return {StoredIntegers::Form::kInts, 8, 0};
}

bool IsMatrixOfALayer(std::string_view name) {
  constexpr std::array<std::string_view, 7> kEnds = {
      ".self_attn.q_proj.weight", ".self_attn.k_proj.weight", ".self_attn.v_proj.weight",
      ".self_attn.o_proj.weight", ".mlp.gate_proj.weight",    ".mlp.up_proj.weight",
      ".mlp.down_proj.weight"};
  return name.starts_with("model.layers.") &&
         std::ranges::any_of(kEnds, [name](std::string_view end) { return name.ends_with(end); });
}

DType DTypeOf(std::string_view name) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    if (Name(dtype) == name) return dtype;
  }
  return DType::kF32;
}

// Weights in formats that the output replaces or that nobody reads here.
bool IsWeightFile(const fs::path& path) {
  constexpr std::array<std::string_view, 8> kEndings = {
      ".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx"};
  return std::ranges::find(kEndings, path.extension().string()) != kEndings.end() ||
         path.filename() == "model.safetensors.index.json" || path.filename() == "config.json";
}

Status CannotWrite(const fs::path& path, std::string_view why) {
  return InvalidArgumentError("{}: cannot be made: {}", path.string(), why);
}

Status WriteText(const fs::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) return CannotWrite(path, "the disk refuses it");
  return OkStatus();
}

// Removes an unfinished folder.
class Scratch {
 public:
  explicit Scratch(fs::path path) : path_(std::move(path)) {}
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const fs::path& path() const { return path_; }
  void Keep() { path_.clear(); }

 private:
  fs::path path_;
};

class Quantizer {
 public:
  Quantizer(fs::path model_dir, const Checkpoint& checkpoint, const QuantizeOptions& options)
      : model_dir_(std::move(model_dir)),
        checkpoint_(checkpoint),
        options_(options),
        stored_(FormOf(options.quantization)) {
    for (const auto& file : checkpoint.files()) {
      for (const auto& [name, entry] : file->entries()) {
        summary_.bytes_before += entry.end - entry.begin;
      }
    }
  }

  StatusOr<QuantizeSummary> Run(const fs::path& folder, ordered_json config) {
    for (const auto& file : checkpoint_.files()) {
      PHALANX_RETURN_IF_ERROR(ConvertFile(*file, folder));
    }
    if (fs::exists(model_dir_ / "model.safetensors.index.json")) {
      const ordered_json index = {{"metadata", {{"total_size", summary_.bytes_after}}},
                                  {"weight_map", weight_map_}};
      PHALANX_RETURN_IF_ERROR(
          WriteText(folder / "model.safetensors.index.json", index.dump(2) + '\n'));
    }
    config["quantization_config"] = DescribeStoredIntegers(stored_);
    PHALANX_RETURN_IF_ERROR(WriteText(folder / "config.json", config.dump(2) + '\n'));
    PHALANX_RETURN_IF_ERROR(CopyOtherFiles(folder));
    return summary_;
  }

 private:
  struct Source {
    std::string name;
    const SafetensorsFile::Entry* entry;
    bool is_quantized;
  };

  Status ConvertFile(const SafetensorsFile& file, const fs::path& folder) {
    std::vector<Source> sources;
    std::vector<TensorToWrite> tensors;
    for (const auto& [name, entry] : file.entries()) {
      const bool is_quantized = IsMatrixOfALayer(name);
      sources.push_back({name, &entry, is_quantized});
      PHALANX_RETURN_IF_ERROR(is_quantized ? PlanIntegers(file, name, entry, tensors) : OkStatus());
      if (!is_quantized) {
        tensors.push_back({name, entry.dtype, entry.shape, entry.end - entry.begin});
      }
      ++(is_quantized ? summary_.num_quantized : summary_.num_copied);
    }
    const std::string file_name = fs::path(file.path()).filename().string();
    for (const TensorToWrite& tensor : tensors) {
      summary_.bytes_after += tensor.size_bytes;
      weight_map_[tensor.name] = file_name;
    }
    PHALANX_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                             SafetensorsWriter::Create(folder / file_name, tensors));
    for (const Source& source : sources) {
      PHALANX_RETURN_IF_ERROR(source.is_quantized ? WriteIntegers(file, source, writer)
                                                  : CopyTensor(file, *source.entry, writer));
    }
    return writer.Finish();
  }

  // In the order in which WriteIntegers() writes.
  Status PlanIntegers(const SafetensorsFile& file, const std::string& name,
                      const SafetensorsFile::Entry& entry,
                      std::vector<TensorToWrite>& tensors) const {
    const bool is_float = entry.dtype == "BF16" || entry.dtype == "F16" || entry.dtype == "F32";
    if (!is_float || entry.shape.size() != 2 || entry.shape[0] < 1 || entry.shape[1] < 1) {
      return InvalidArgumentError(
          "{}: tensor \"{}\": found {} of shape {}, expected BF16, F16 or F32 of two dimensions",
          file.path(), name, entry.dtype, ShowShape(entry.shape));
    }
    const int64_t rows = entry.shape[0];
    const int64_t row_bytes = stored_.RowBytes(entry.shape[1]);
    const int64_t groups = stored_.NumGroups(entry.shape[1]);
    const bool is_packed = stored_.form == StoredIntegers::Form::kPacked;
    if (is_packed) {
      tensors.push_back({PackedName(name), "I32", {rows, row_bytes / 4}, rows * row_bytes});
    } else {
      tensors.push_back({name, "I8", entry.shape, rows * row_bytes});
    }
    tensors.push_back({ScaleName(name), "BF16", {rows, groups}, rows * groups * 2});
    if (is_packed) tensors.push_back({ShapeName(name), "I64", {2}, 2 * int64_t{sizeof(int64_t)}});
    return OkStatus();
  }

  Status WriteIntegers(const SafetensorsFile& file, const Source& source,
                       SafetensorsWriter& writer) {
    const SafetensorsFile::Entry& entry = *source.entry;
    const int64_t rows = entry.shape[0];
    const int64_t in_bytes = (entry.end - entry.begin) / rows;
    const int64_t step = std::max<int64_t>(1, kChunkBytes / in_bytes);
    const auto groups = static_cast<size_t>(stored_.NumGroups(entry.shape[1]));
    std::vector<uint16_t> scales(static_cast<size_t>(rows) * groups);
    std::vector<std::byte> read;
    std::vector<std::byte> packed;
    for (int64_t first = 0; first < rows; first += step) {
      const int64_t n = std::min(step, rows - first);
      read.resize(static_cast<size_t>(n * in_bytes));
      packed.resize(static_cast<size_t>(n * stored_.RowBytes(entry.shape[1])));
      PHALANX_RETURN_IF_ERROR(file.Read(entry.begin + first * in_bytes, read));
      const DType dtype = DTypeOf(entry.dtype);
      if (HasNonFinite(read.data(), read.size() / SizeInBytes(dtype), dtype)) {
        return InvalidArgumentError(
            "{}: tensor \"{}\": found NaN or infinity in rows {} to {}, expected finite values",
            file.path(), source.name, first, first + n - 1);
      }
      QuantizeRows(read, dtype, static_cast<size_t>(entry.shape[1]), packed,
                   std::span(scales).subspan(static_cast<size_t>(first) * groups));
      PHALANX_RETURN_IF_ERROR(writer.Append(packed));
      Report(n * in_bytes);
    }
    PHALANX_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(scales))));
    if (stored_.form != StoredIntegers::Form::kPacked) return OkStatus();
    return writer.Append(std::as_bytes(std::span(entry.shape)));
  }

  // Rows side by side in threads.
  void QuantizeRows(std::span<const std::byte> read, DType dtype, size_t cols,
                    std::span<std::byte> packed, std::span<uint16_t> scales) const {
    const size_t in_bytes = cols * SizeInBytes(dtype);
    const auto out_bytes = static_cast<size_t>(stored_.RowBytes(static_cast<int64_t>(cols)));
    const auto groups = static_cast<size_t>(stored_.NumGroups(static_cast<int64_t>(cols)));
    const size_t rows = read.size() / in_bytes;
    const auto num_threads = static_cast<size_t>(std::max(options_.num_threads, 1));
    const auto work = [&](size_t begin, size_t end) {
      std::vector<float> floats(cols);
      std::vector<int8_t> values(cols);
      std::vector<float> row_scales(groups);
      for (size_t r = begin; r < end; ++r) {
        WidenToFloat(read.data() + r * in_bytes, dtype, floats);
        QuantizeRow(floats, stored_.bits, stored_.group_size, values, row_scales);
        PackIntegers(stored_, values, packed.subspan(r * out_bytes, out_bytes));
        // Of zeros any scale is right, but readers refuse 0.
        std::ranges::transform(row_scales, scales.begin() + static_cast<ptrdiff_t>(r * groups),
                               [](float scale) { return FloatToBF16(scale == 0 ? 1.0F : scale); });
      }
    };
    std::vector<std::thread> threads;
    for (size_t i = 1; i < num_threads; ++i) {
      threads.emplace_back(work, rows * i / num_threads, rows * (i + 1) / num_threads);
    }
    work(0, rows / num_threads);
    for (std::thread& thread : threads) thread.join();
  }

  Status CopyTensor(const SafetensorsFile& file, const SafetensorsFile::Entry& entry,
                    SafetensorsWriter& writer) {
    std::vector<std::byte> bytes;
    for (int64_t at = entry.begin; at < entry.end; at += kChunkBytes) {
      bytes.resize(static_cast<size_t>(std::min(kChunkBytes, entry.end - at)));
      PHALANX_RETURN_IF_ERROR(file.Read(at, bytes));
      PHALANX_RETURN_IF_ERROR(writer.Append(bytes));
      Report(static_cast<int64_t>(bytes.size()));
    }
    return OkStatus();
  }

  Status CopyOtherFiles(const fs::path& folder) const {
    for (const fs::directory_entry& entry : fs::directory_iterator(model_dir_)) {
      if (!entry.is_regular_file() || IsWeightFile(entry.path())) continue;
      std::error_code error;
      fs::copy_file(entry.path(), folder / entry.path().filename(), error);
      if (error) return CannotWrite(folder / entry.path().filename(), error.message());
    }
    return OkStatus();
  }

  void Report(int64_t bytes) {
    done_bytes_ += bytes;
    if (options_.on_progress) options_.on_progress(done_bytes_, summary_.bytes_before);
  }

  fs::path model_dir_;
  const Checkpoint& checkpoint_;
  const QuantizeOptions& options_;
  StoredIntegers stored_;
  ordered_json weight_map_ = ordered_json::object();
  QuantizeSummary summary_;
  int64_t done_bytes_ = 0;
};

StatusOr<ordered_json> ReadConfig(const fs::path& path) {
  PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kMaxConfigBytes));
  PHALANX_ASSIGN_OR_RETURN(const nlohmann::json object, ParseJsonObject(text, path.string()));
  JsonFields fields(object, path.string());
  const std::string model_type = fields.String("model_type", "missing");
  if (model_type != "qwen2") fields.Refuse("model_type", model_type, "qwen2");
  if (fields.Has("quantization_config")) {
    fields.Refuse("quantization_config", ShowJson(fields.Raw("quantization_config")),
                  "none: weights that are floats");
  }
  PHALANX_RETURN_IF_ERROR(fields.status());
  return ordered_json::parse(text);
}

}  // namespace

StatusOr<QuantizeSummary> QuantizeCheckpoint(const fs::path& model_dir, const fs::path& output,
                                             const QuantizeOptions& options) {
  PHALANX_CHECK(options.quantization != Quantization::kNone);
  PHALANX_ASSIGN_OR_RETURN(ordered_json config, ReadConfig(model_dir / "config.json"));
  PHALANX_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(model_dir));
  std::error_code error;
  if (fs::exists(output, error) && !fs::is_empty(output, error)) {
    return InvalidArgumentError("{}: is there already, allowed: a new or an empty folder",
                                output.string());
  }
  Scratch scratch(fmt::format("{}.{}.partial", output.string(), getpid()));
  if (!fs::create_directories(scratch.path(), error)) {
    return CannotWrite(scratch.path(), error ? error.message() : "is there already");
  }
  Quantizer quantizer(model_dir, checkpoint, options);
  PHALANX_ASSIGN_OR_RETURN(const QuantizeSummary summary,
                           quantizer.Run(scratch.path(), std::move(config)));
  fs::rename(scratch.path(), output, error);
  if (error) return CannotWrite(output, error.message());
  scratch.Keep();
  return summary;
}

}  // namespace phalanx
