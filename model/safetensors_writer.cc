#include "model/safetensors_writer.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

namespace phalanx {

StatusOr<SafetensorsWriter> SafetensorsWriter::Create(const std::filesystem::path& path,
                                                      std::span<const TensorToWrite> tensors) {
  nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  int64_t end = 0;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t begin = end;
    end += tensor.size_bytes;
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data begin at a multiple of eight bytes
  std::FILE* const file = std::fopen(path.c_str(), "wbx");
  if (file == nullptr) {
    return InvalidArgumentError("{}: cannot be made: {}", path.string(), std::strerror(errno));
  }
  const uint64_t length = text.size();
  SafetensorsWriter writer(path.string(), file, end + static_cast<int64_t>(8 + length));
  PHALANX_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(&length, 1))));
  PHALANX_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(text))));
  return writer;
}

Status SafetensorsWriter::Failed() const {
  return Status(StatusCode::kDataLoss,
                fmt::format("{}: cannot be written: {}", path_, std::strerror(errno)));
}

Status SafetensorsWriter::Append(std::span<const std::byte> data) {
  left_bytes_ -= static_cast<int64_t>(data.size());
  PHALANX_CHECK_GE(left_bytes_, 0);
  if (std::fwrite(data.data(), 1, data.size(), file_.get()) != data.size()) return Failed();
  return OkStatus();
}

Status SafetensorsWriter::Finish() {
  PHALANX_CHECK_EQ(left_bytes_, 0);
  if (std::fflush(file_.get()) != 0 || fsync(fileno(file_.get())) != 0) return Failed();
  if (std::fclose(file_.release()) != 0) return Failed();
  return OkStatus();
}

}  // namespace phalanx
