#include "text/json_file.h"

#include <cstdint>

#include "kernels/base/file.h"
#include "kernels/base/json_bounds.h"

namespace phalanx {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{256} << 20;

const nlohmann::json& NullJson() {
  static const nlohmann::json null;
  return null;
}

}  // namespace

StatusOr<std::string> ReadTextFile(const std::filesystem::path& path) {
  return ReadSmallFile(path, kMaxFileBytes);
}

StatusOr<nlohmann::json> ReadJsonFile(const std::filesystem::path& path) {
  PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  const JsonBounds bounds{.duplicates = DuplicateKeys::kAllowed};  // the last one counts
  const std::optional<JsonFault> fault = FindJsonFault(text, bounds);
  if (fault && fault->kind == JsonFault::Kind::kTooDeep) {
    return InvalidArgumentError("{}: is nested deeper than {} levels", path.string(),
                                bounds.max_depth);
  }
  try {  // the library says what is wrong only by exception
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    return InvalidArgumentError("{}: is no JSON: {}", path.string(), e.what());
  }
}

std::string Shown(const nlohmann::json& value) {
  constexpr size_t kMaxBytes = 60;
  if (value.is_structured() && value.size() > 8) {
    return fmt::format("{} of {} elements", value.type_name(), value.size());
  }
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kMaxBytes) text = text.substr(0, kMaxBytes) + "...";
  return text;
}

JsonField JsonField::Member(std::string_view name) const {
  std::string path = fmt::format("{}.{}", path_, name);
  if (path_.ends_with(": ")) path = path_ + std::string(name);
  if (!value_->is_object()) return {NullJson(), std::move(path)};
  const auto it = value_->find(name);
  return {it == value_->end() ? NullJson() : *it, std::move(path)};
}

JsonField JsonField::Element(size_t index) const {
  return {(*value_)[index], fmt::format("{}[{}]", path_, index)};
}

Status JsonField::Refuse(std::string_view allowed) const {
  return InvalidField(path_, Shown(*value_), allowed);
}

Status JsonField::CheckObject() const {
  return value_->is_object() ? OkStatus() : Refuse("an object");
}

Status JsonField::CheckArray() const {
  return value_->is_array() ? OkStatus() : Refuse("an array");
}

StatusOr<std::string> JsonField::String() const {
  if (!value_->is_string()) return Refuse("a string");
  return value_->get<std::string>();
}

StatusOr<bool> JsonField::Bool(bool if_null) const {
  if (value_->is_null()) return if_null;
  if (!value_->is_boolean()) return Refuse("true or false");
  return value_->get<bool>();
}

StatusOr<int32_t> JsonField::Int(int32_t low, int32_t high) const {
  const std::string allowed = fmt::format("an integer from {} to {}", low, high);
  if (value_->is_number_unsigned() && value_->get<uint64_t>() > uint64_t{INT32_MAX}) {
    return Refuse(allowed);
  }
  if (!value_->is_number_integer()) return Refuse(allowed);
  const auto value = value_->get<int64_t>();
  if (value < low || value > high) return Refuse(allowed);
  return static_cast<int32_t>(value);
}

}  // namespace phalanx
