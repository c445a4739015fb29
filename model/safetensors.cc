#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "kernels/base/json_bounds.h"
#include "model/json_fields.h"

namespace phalanx {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian");

// The format allows 100 MB. A published model's header has some 100 KB; the bound keeps what a
// hostile file can make us allocate small.
constexpr int64_t kMaxHeaderBytes = 16 << 20;
constexpr int64_t kMaxIndexBytes = 16 << 20;
constexpr int64_t kMaxElements = int64_t{1} << 48;

// Bytes of one element of every dtype that the format knows; 0 for an unknown one.
int64_t ElementBytes(std::string_view dtype) {
  constexpr std::array<std::pair<std::string_view, int64_t>, 15> kSizes = {{{"BOOL", 1},
                                                                            {"U8", 1},
                                                                            {"I8", 1},
                                                                            {"F8_E5M2", 1},
                                                                            {"F8_E4M3", 1},
                                                                            {"F8_E8M0", 1},
                                                                            {"I16", 2},
                                                                            {"U16", 2},
                                                                            {"F16", 2},
                                                                            {"BF16", 2},
                                                                            {"I32", 4},
                                                                            {"U32", 4},
                                                                            {"F32", 4},
                                                                            {"I64", 8},
                                                                            {"F64", 8}}};
  for (const auto& [name, bytes] : kSizes) {
    if (name == dtype) return bytes;
  }
  return 0;
}

bool IsCount(const json& value) {
  return value.is_number_unsigned() && value.get<uint64_t>() <= uint64_t{kMaxElements};
}

// One entry of the header; the error lacks file and tensor.
StatusOr<SafetensorsFile::Entry> ParseEntry(const json& value, int64_t data_bytes) {
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
      !value.contains("shape") || !value.contains("data_offsets")) {
    return InvalidArgumentError("is {}, allowed: an object of dtype, shape and data_offsets",
                                ShowJson(value));
  }
  SafetensorsFile::Entry entry;
  const json& dtype = value["dtype"];
  const int64_t element_bytes = dtype.is_string() ? ElementBytes(dtype.get<std::string>()) : 0;
  if (element_bytes == 0) {
    return InvalidArgumentError("dtype is {}, allowed: a dtype of the format, such as \"BF16\"",
                                ShowJson(dtype));
  }
  entry.dtype = dtype.get<std::string>();
  const json& shape = value["shape"];
  constexpr size_t kMaxRank = 8;
  if (!shape.is_array() || shape.size() > kMaxRank ||
      !std::all_of(shape.begin(), shape.end(), IsCount)) {
    return InvalidArgumentError("shape is {}, allowed: at most 8 sizes", ShowJson(shape));
  }
  int64_t elements = 1;
  for (const json& size : shape) {
    entry.shape.push_back(size.get<int64_t>());
    if (entry.shape.back() != 0 && elements > kMaxElements / entry.shape.back()) {
      return InvalidArgumentError("shape is {}, allowed: at most 2^48 elements", ShowJson(shape));
    }
    elements *= entry.shape.back();
  }
  const json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !IsCount(offsets[0]) || !IsCount(offsets[1]) ||
      offsets[0].get<int64_t>() > offsets[1].get<int64_t>() ||
      offsets[1].get<int64_t>() > data_bytes) {
    return InvalidArgumentError(
        "data_offsets is {}, allowed: [begin, end] with begin <= end <= {}, the bytes of data in "
        "the file (is it cut short?)",
        ShowJson(offsets), data_bytes);
  }
  entry.begin = offsets[0].get<int64_t>();
  entry.end = offsets[1].get<int64_t>();
  if (entry.end - entry.begin != elements * element_bytes) {
    return InvalidArgumentError("data_offsets hold {} bytes, expected {} for {} {}",
                                entry.end - entry.begin, elements * element_bytes, entry.dtype,
                                ShowShape(entry.shape));
  }
  return entry;
}

// Refuses a header that names something twice: which one counts would depend on the reader.
StatusOr<json> ParseHeaderJson(std::string_view text) {
  const std::optional<JsonFault> fault =
      FindJsonFault(text, {.max_depth = 3, .top = JsonTop::kObject});
  if (fault && fault->kind == JsonFault::Kind::kDuplicateKey) {
    return InvalidArgumentError("{} \"{}\" is there twice", fault->depth == 1 ? "tensor" : "key",
                                fault->key);
  }
  if (fault) {
    return InvalidArgumentError("the header is not the JSON object that the format asks for");
  }
  return json::parse(text);
}

// A shard is a plain file beside its index.
bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

}  // namespace

std::string ShowShape(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::optional<DType> WeightDType(std::string_view name) {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    if (Name(dtype) == name) return dtype;
  }
  return std::nullopt;
}

StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(
    const std::filesystem::path& path) {
  PHALANX_ASSIGN_OR_RETURN(RegularFile opened, RegularFile::Open(path));
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile(std::move(opened)));
  if (Status status = file->ReadHeader(); !status.ok()) return status.WithContext(path.string());
  return file;
}

Status SafetensorsFile::ReadHeader() {
  const int64_t file_bytes = file_.size_bytes();
  uint64_t length = 0;
  constexpr int64_t kLengthBytes = sizeof(length);
  if (file_bytes < kLengthBytes) {
    return InvalidArgumentError("size is {} bytes, allowed: at least {}", file_bytes, kLengthBytes);
  }
  PHALANX_RETURN_IF_ERROR(Read(0, std::as_writable_bytes(std::span(&length, 1))));
  const int64_t max_length = std::min(kMaxHeaderBytes, file_bytes - kLengthBytes);
  if (length > static_cast<uint64_t>(max_length)) {
    return InvalidArgumentError(
        "header length is {} bytes, allowed: at most {} (the file has {}); is it a safetensors "
        "file, and whole?",
        length, max_length, file_bytes);
  }
  std::string text(length, '\0');
  PHALANX_RETURN_IF_ERROR(Read(kLengthBytes, std::as_writable_bytes(std::span(text))));
  header_bytes_ = kLengthBytes + static_cast<int64_t>(length);
  return ParseHeader(text, file_bytes - header_bytes_);
}

Status SafetensorsFile::ParseHeader(std::string_view text, int64_t data_bytes) {
  PHALANX_ASSIGN_OR_RETURN(const json header, ParseHeaderJson(text));
  struct Extent {
    int64_t begin;
    int64_t end;
    const std::string* name;
  };
  std::vector<Extent> extents;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    auto entry = ParseEntry(value, data_bytes);
    if (!entry.ok()) return entry.status().WithContext(fmt::format("tensor \"{}\"", name));
    const auto inserted = entries_.emplace(name, *std::move(entry)).first;
    Entry& added = inserted->second;
    extents.push_back({added.begin, added.end, &inserted->first});
    added.begin += header_bytes_;
    added.end += header_bytes_;
  }
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  int64_t covered = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != covered) {
      return InvalidArgumentError(
          "tensor \"{}\": data begins at byte {}, expected {}: {}", *extent.name, extent.begin,
          covered,
          extent.begin < covered
              ? "it overlaps another tensor"
              : "the bytes before it belong to no tensor; is one missing from the header?");
    }
    covered = extent.end;
  }
  if (covered != data_bytes) {
    return InvalidArgumentError(
        "the tensors end at byte {} of the data, expected {}, its end; is one missing from the "
        "header?",
        covered, data_bytes);
  }
  return OkStatus();
}

StatusOr<Checkpoint> Checkpoint::Open(const std::filesystem::path& model_dir) {
  Checkpoint checkpoint;
  const std::filesystem::path single = model_dir / "model.safetensors";
  const std::filesystem::path index_path = model_dir / "model.safetensors.index.json";
  std::error_code ignored;
  // As transformers does: the single file where there is one, else the index.
  if (std::filesystem::exists(single, ignored)) {
    PHALANX_ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open(single));
    checkpoint.description_ = single.string();
    for (const auto& [name, entry] : file->entries()) checkpoint.file_of_[name] = file.get();
    checkpoint.files_.push_back(std::move(file));
    return checkpoint;
  }
  if (!std::filesystem::exists(index_path, ignored)) {
    return NotFoundError("{}: has neither model.safetensors nor model.safetensors.index.json",
                         model_dir.string());
  }
  const std::string index_name = index_path.string();
  checkpoint.description_ = index_name;
  PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(index_path, kMaxIndexBytes));
  PHALANX_ASSIGN_OR_RETURN(const json index, ParseJsonObject(text, index_name));
  const auto weight_map = index.find("weight_map");
  if (weight_map == index.end() || !weight_map->is_object()) {
    return InvalidArgumentError("{}: weight_map: is {}, allowed: an object of tensor to file",
                                index_name,
                                weight_map == index.end() ? "missing" : ShowJson(*weight_map));
  }
  std::map<std::string, const SafetensorsFile*> opened;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string() || !IsPlainFileName(shard.get_ref<const std::string&>())) {
      return InvalidArgumentError(
          "{}: weight_map: file of tensor \"{}\" is {}, allowed: the name of a file beside the "
          "index",
          index_name, tensor, ShowJson(shard));
    }
    const auto& file_name = shard.get_ref<const std::string&>();
    const SafetensorsFile*& file = opened[file_name];
    if (file == nullptr) {
      auto opened_file = SafetensorsFile::Open(model_dir / file_name);
      if (!opened_file.ok()) {
        return opened_file.status().WithContext(
            fmt::format("{}: shard of tensor \"{}\"", index_name, tensor));
      }
      file = opened_file->get();
      checkpoint.files_.push_back(*std::move(opened_file));
    }
    if (!file->entries().contains(tensor)) {
      return InvalidArgumentError("{}: weight_map: tensor \"{}\" is not in its file {}", index_name,
                                  tensor, file->path());
    }
    checkpoint.file_of_[tensor] = file;
  }
  return checkpoint;
}

const SafetensorsFile* Checkpoint::FileOf(std::string_view tensor) const {
  const auto it = file_of_.find(tensor);
  return it == file_of_.end() ? nullptr : it->second;
}

bool Checkpoint::Contains(std::string_view tensor) const { return FileOf(tensor) != nullptr; }

StatusOr<TensorLocation> Checkpoint::Find(std::string_view tensor,
                                          std::span<const int64_t> shape) const {
  const auto it = file_of_.find(tensor);
  if (it == file_of_.end()) {
    return InvalidArgumentError(
        "{}: tensor \"{}\" is missing, expected BF16, F16 or F32 of shape {}", description_, tensor,
        ShowShape(shape));
  }
  const SafetensorsFile::Entry& entry = it->second->entries().find(tensor)->second;
  const auto dtype = WeightDType(entry.dtype);
  if (!dtype || !std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end())) {
    return InvalidArgumentError(
        "{}: tensor \"{}\": found {} of shape {}, expected BF16, F16 or F32 of shape {}",
        it->second->path(), tensor, entry.dtype, ShowShape(entry.shape), ShowShape(shape));
  }
  return TensorLocation{it->second, *dtype, entry.begin};
}

StatusOr<TensorLocation> Checkpoint::FindIntegers(std::string_view tensor, std::string_view dtype,
                                                  std::span<const int64_t> shape) const {
  const auto it = file_of_.find(tensor);
  if (it == file_of_.end()) {
    return InvalidArgumentError("{}: tensor \"{}\" is missing, expected {} of shape {}",
                                description_, tensor, dtype, ShowShape(shape));
  }
  const SafetensorsFile::Entry& entry = it->second->entries().find(tensor)->second;
  if (entry.dtype != dtype ||
      !std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end())) {
    return InvalidArgumentError("{}: tensor \"{}\": found {} of shape {}, expected {} of shape {}",
                                it->second->path(), tensor, entry.dtype, ShowShape(entry.shape),
                                dtype, ShowShape(shape));
  }
  return TensorLocation{it->second, DType::kI8, entry.begin};
}

int64_t Checkpoint::header_bytes() const {
  int64_t bytes = 0;
  for (const auto& file : files_) bytes += file->header_bytes();
  return bytes;
}

}  // namespace phalanx
