#include "coordinator/openai/json_field.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "coordinator/core/json_check.h"
#include "coordinator/core/printable.h"

namespace phalanx::openai {
namespace {

const Json kNull;

std::string Join(const std::string& path, std::string_view key) {
  return path.empty() ? SafeKey(key) : fmt::format("{}.{}", path, SafeKey(key));
}

}  // namespace

StatusOr<Json> ParseBody(std::string_view body, const Limits& limits) {
  constexpr std::string_view kBody = "body";
  const Status checked = CheckJsonObject(kBody, body, limits);
  if (checked.field() == kBody) return Status(checked.code(), checked.message());  // of no field
  PHALANX_RETURN_IF_ERROR(checked);
  return Json::parse(body, nullptr, false);
}

std::string Describe(const Json& value) {
  if (value.is_string()) return Printable(value.get_ref<const std::string&>());
  if (value.is_array()) return fmt::format("a list of {} entries", value.size());
  if (value.is_object()) return fmt::format("an object of {} keys", value.size());
  return value.dump();
}

Status JsonField::Refuse(std::string_view allowed) const {
  return InvalidField(path_, Describe(*value_), allowed);
}

StatusOr<bool> JsonField::Bool() const {
  if (!value_->is_boolean()) return Refuse("true or false");
  return value_->get<bool>();
}

StatusOr<int32_t> JsonField::Int32() const {
  constexpr std::string_view kAllowed = "an integer of 32 bits";
  constexpr double kLow = std::numeric_limits<int32_t>::min();
  constexpr double kHigh = std::numeric_limits<int32_t>::max();
  if (!value_->is_number()) return Refuse(kAllowed);
  const auto number = value_->get<double>();  // exact for all that are allowed
  if (!(number >= kLow && number <= kHigh) || number != std::floor(number)) return Refuse(kAllowed);
  return static_cast<int32_t>(number);
}

StatusOr<uint64_t> JsonField::Seed() const {
  constexpr std::string_view kAllowed = "an integer of 64 bits";
  if (value_->is_number_float()) {
    constexpr double kMostExact = 1LL << 53;
    const auto number = value_->get<double>();
    const bool is_integer = number == std::floor(number) && std::abs(number) <= kMostExact;
    if (!is_integer) return Refuse(kAllowed);
    return static_cast<uint64_t>(static_cast<int64_t>(number));
  }
  if (!value_->is_number_integer()) return Refuse(kAllowed);
  if (value_->is_number_unsigned()) return value_->get<uint64_t>();
  return static_cast<uint64_t>(value_->get<int64_t>());
}

StatusOr<float> JsonField::Float() const {
  if (!value_->is_number()) return Refuse("a number");
  const auto number = value_->get<double>();
  if (!(std::abs(number) <= std::numeric_limits<float>::max())) {
    return Refuse("a finite number of 32 bits");
  }
  return static_cast<float>(number);
}

StatusOr<std::string> JsonField::String() const {
  if (!value_->is_string()) return Refuse("a string");
  return value_->get<std::string>();
}

Status JsonField::CheckArray(std::string_view allowed) const {
  return value_->is_array() ? OkStatus() : Refuse(allowed);
}

Status JsonField::CheckObject(std::string_view allowed) const {
  return value_->is_object() ? OkStatus() : Refuse(allowed);
}

JsonField JsonField::At(std::string_view key) const {
  return {Join(path_, key), value_->at(std::string(key))};
}

JsonField JsonField::At(size_t index) const {
  return {fmt::format("{}[{}]", path_, index), value_->at(index)};
}

JsonField JsonField::Find(std::string_view key) const {
  if (value_->contains(std::string(key))) return At(key);
  return {Join(path_, key), kNull};
}

}  // namespace phalanx::openai
