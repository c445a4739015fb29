#include "model/quantize_checkpoint.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
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

// A folder beside the one to be made, which is removed where it does not become that.
class Scratch {
 public:
  Scratch() = default;
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const fs::path& path() const { return path_; }

  Status Make(const fs::path& place) {
    std::error_code error;
    fs::create_directories(place.parent_path(), error);
    if (error) return CannotWrite(place, error.message());
    std::string name = place.string() + ".partial-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) return CannotWrite(name, std::strerror(errno));
    path_ = name;
    fs::permissions(path_,
                    fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                        fs::perms::others_read | fs::perms::others_exec,
                    error);
    return OkStatus();
  }

  Status MoveTo(const fs::path& place) {
    std::error_code error;
    fs::rename(path_, place, error);
    if (error) return CannotWrite(place, error.message());
    path_.clear();
    return OkStatus();
  }

 private:
  fs::path path_;
};

// `output` as a name that nothing has: an empty folder of that name is removed.
StatusOr<fs::path> PlaceFor(const fs::path& output) {
  constexpr std::string_view kAllowed = "a new or an empty folder";
  std::error_code error;
  fs::path place = fs::absolute(output, error).lexically_normal();
  if (!place.has_filename()) place = place.parent_path();  // "OUT/"
  if (output.empty() || error || !place.has_filename()) {
    return InvalidField("output", output.string(), kAllowed);
  }
  const fs::file_status status = fs::symlink_status(place, error);
  if (status.type() == fs::file_type::not_found) return place;
  const bool is_empty = status.type() == fs::file_type::directory && fs::is_empty(place, error);
  if (!is_empty || error) {
    return InvalidArgumentError("{}: is there already, allowed: {}", place.string(), kAllowed);
  }
  fs::remove(place, error);
  if (error) return CannotWrite(place, error.message());
  return place;
}

class Quantizer {
 public:
  Quantizer(fs::path model_dir, const Checkpoint& checkpoint, const QuantizeOptions& options)
      : model_dir_(std::move(model_dir)),
        checkpoint_(checkpoint),
        options_(options),
        stored_(FormOf(options.quantization)) {
    for (const auto& file : checkpoint.files()) {
      for (const auto& [name, entry] : file->entries()) {
        if (checkpoint.FileOf(name) == file.get()) summary_.bytes_before += entry.end - entry.begin;
      }
    }
  }

  StatusOr<QuantizeSummary> Run(const fs::path& folder, ordered_json config) {
    for (const auto& file : checkpoint_.files()) {
      PHALANX_RETURN_IF_ERROR(ConvertFile(*file, folder));
    }
    std::error_code ignored;
    if (fs::exists(model_dir_ / "model.safetensors.index.json", ignored)) {
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
      if (checkpoint_.FileOf(name) != &file) continue;  // the index has another's
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
                      const SafetensorsFile::Entry& entry, std::vector<TensorToWrite>& tensors) {
    if (!WeightDType(entry.dtype) || entry.shape.size() != 2 || entry.shape[0] < 1 ||
        entry.shape[1] < 1) {
      return InvalidArgumentError(
          "{}: tensor \"{}\": found {} of shape {}, expected BF16, F16 or F32 of two dimensions",
          file.path(), name, entry.dtype, ShowShape(entry.shape));
    }
    const int64_t rows = entry.shape[0];
    const int64_t row_bytes = stored_.RowBytes(entry.shape[1]);
    const int64_t groups = stored_.NumGroups(entry.shape[1]);
    if (stored_.group_size > 0 && entry.shape[1] % stored_.group_size != 0) {
      ++summary_.num_with_partial_groups;
    }
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
      PHALANX_RETURN_IF_ERROR(CheckStop());
      const int64_t n = std::min(step, rows - first);
      read.resize(static_cast<size_t>(n * in_bytes));
      packed.resize(static_cast<size_t>(n * stored_.RowBytes(entry.shape[1])));
      PHALANX_RETURN_IF_ERROR(file.Read(entry.begin + first * in_bytes, read));
      const DType dtype = *WeightDType(entry.dtype);
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
      PHALANX_RETURN_IF_ERROR(CheckStop());
      bytes.resize(static_cast<size_t>(std::min(kChunkBytes, entry.end - at)));
      PHALANX_RETURN_IF_ERROR(file.Read(at, bytes));
      PHALANX_RETURN_IF_ERROR(writer.Append(bytes));
      Report(static_cast<int64_t>(bytes.size()));
    }
    return OkStatus();
  }

  Status CheckStop() const {
    const bool is_stopped = options_.should_stop && options_.should_stop();
    return is_stopped ? CancelledError("stopped; nothing was made") : OkStatus();
  }

  Status CopyOtherFiles(const fs::path& folder) const {
    std::error_code error;
    fs::directory_iterator entry(model_dir_, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      std::error_code not_regular;
      if (!entry->is_regular_file(not_regular) || IsWeightFile(entry->path())) continue;
      fs::copy_file(entry->path(), folder / entry->path().filename(), error);
      if (error) return CannotWrite(folder / entry->path().filename(), error.message());
    }
    if (error) {
      return InvalidArgumentError("{}: cannot be read: {}", model_dir_.string(), error.message());
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
  const std::string file_name = path.string();
  PHALANX_ASSIGN_OR_RETURN(const nlohmann::json object, ParseJsonObject(text, file_name));
  JsonFields fields(object, file_name);
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
  PHALANX_ASSIGN_OR_RETURN(const fs::path place, PlaceFor(output));
  Scratch scratch;
  PHALANX_RETURN_IF_ERROR(scratch.Make(place));
  Quantizer quantizer(model_dir, checkpoint, options);
  PHALANX_ASSIGN_OR_RETURN(const QuantizeSummary summary,
                           quantizer.Run(scratch.path(), std::move(config)));
  PHALANX_RETURN_IF_ERROR(scratch.MoveTo(place));
  return summary;
}

}  // namespace phalanx
