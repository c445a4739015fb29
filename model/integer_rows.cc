#include "model/integer_rows.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "model/stored_floats.h"

namespace phalanx {
namespace {

Status CheckStoredShape(const Checkpoint& checkpoint, const WeightRow& row) {
  const std::vector<int64_t> two = {2};
  const std::string name = ShapeName(row.name);
  PHALANX_ASSIGN_OR_RETURN(const TensorLocation location,
                           checkpoint.FindIntegers(name, "I64", two));
  std::array<int64_t, 2> shape = {};
  PHALANX_RETURN_IF_ERROR(
      location.file->Read(location.begin, std::as_writable_bytes(std::span(shape))));
  if (shape[0] == row.rows && shape[1] == row.cols) return OkStatus();
  return InvalidArgumentError("{}: tensor \"{}\": found {}, expected {}", location.file->path(),
                              name, ShowShape(shape), ShowShape(row.shape()));
}

}  // namespace

StatusOr<StoredIntegerTensors> FindStoredIntegers(const Checkpoint& checkpoint,
                                                  const WeightRow& row) {
  const StoredIntegers& stored = row.stored;
  const bool is_packed = stored.form == StoredIntegers::Form::kPacked;
  const std::vector<int64_t> shape = {
      row.rows, is_packed ? stored.RowBytes(row.cols) / int64_t{4} : row.cols};
  StoredIntegerTensors found;
  PHALANX_ASSIGN_OR_RETURN(found.values,
                           checkpoint.FindIntegers(is_packed ? PackedName(row.name) : row.name,
                                                   is_packed ? "I32" : "I8", shape));
  const std::vector<int64_t> scales = {row.rows, stored.NumGroups(row.cols)};
  PHALANX_ASSIGN_OR_RETURN(found.scales, checkpoint.Find(ScaleName(row.name), scales));
  if (is_packed && checkpoint.Contains(ShapeName(row.name))) {
    PHALANX_RETURN_IF_ERROR(CheckStoredShape(checkpoint, row));
  }
  return found;
}

Range StoredBytesRead(const WeightRow& row) {
  const Range cols = row.read_cols();
  if (cols.size() == 0) return {0, 0};
  const int64_t bits = row.stored.bits;
  // A group begins with a whole byte; the last word of a row may be padded.
  const int64_t end = cols.end == row.cols ? row.stored.RowBytes(row.cols) : cols.end * bits / 8;
  return {cols.begin * bits / 8, end};
}

std::vector<int8_t> UnpackRows(const WeightRow& row, std::span<const std::byte> bytes) {
  const auto cols = static_cast<size_t>(row.read_cols().size());
  const auto row_bytes = static_cast<size_t>(StoredBytesRead(row).size());
  const size_t num_rows = bytes.size() / row_bytes;
  std::vector<int8_t> values(num_rows * cols);
  for (size_t r = 0; r < num_rows; ++r) {
    UnpackIntegers(row.stored, bytes.subspan(r * row_bytes, row_bytes),
                   std::span(values).subspan(r * cols, cols));
  }
  return values;
}

StatusOr<std::vector<float>> ReadStoredScales(const WeightRow& row, const TensorLocation& location,
                                              Range rows) {
  const auto total = static_cast<size_t>(row.stored.NumGroups(row.cols));
  const auto num_rows = static_cast<size_t>(rows.size());
  const size_t row_bytes = total * SizeInBytes(location.dtype);
  std::vector<std::byte> bytes(num_rows * row_bytes);
  PHALANX_RETURN_IF_ERROR(
      location.file->Read(location.begin + rows.begin * static_cast<int64_t>(row_bytes), bytes));
  std::vector<float> all(num_rows * total);
  WidenToFloat(bytes.data(), location.dtype, all);
  const auto wrong =
      std::ranges::find_if(all, [](float scale) { return !std::isfinite(scale) || scale <= 0; });
  if (wrong != all.end()) {
    const auto at = static_cast<size_t>(wrong - all.begin());
    return InvalidArgumentError(
        "{}: tensor \"{}\": found {} at [{}, {}], expected finite scales above 0",
        location.file->path(), ScaleName(row.name), *wrong,
        rows.begin + static_cast<int64_t>(at / total), at % total);
  }
  const Range local = row.local_cols();
  const int64_t size = row.stored.group_size;
  const auto first = static_cast<size_t>(size == 0 ? 0 : local.begin / size);
  const auto count = static_cast<size_t>(row.quantization.NumGroups(local.size()));
  std::vector<float> own;
  own.reserve(num_rows * count);
  for (size_t r = 0; r < num_rows; ++r) {
    const auto begin = all.begin() + static_cast<ptrdiff_t>(r * total + first);
    own.insert(own.end(), begin, begin + static_cast<ptrdiff_t>(count));
  }
  return own;
}

}  // namespace phalanx
