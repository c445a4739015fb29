#include "model/json_fields.h"

#include <cmath>
#include <limits>

#include "kernels/base/json_bounds.h"

namespace phalanx {

using nlohmann::json;

StatusOr<json> ParseJsonObject(std::string_view text, std::string_view file_name) {
  const JsonBounds bounds;
  const std::optional<JsonFault> fault = FindJsonFault(text, bounds);
  if (fault && fault->kind == JsonFault::Kind::kTooDeep) {
    return InvalidArgumentError("{}: nested deeper than {} levels", file_name, bounds.max_depth);
  }
  if (fault && fault->kind == JsonFault::Kind::kDuplicateKey) {
    return InvalidArgumentError("{}: key {} is there twice, allowed: once", file_name,
                                ShowJson(fault->key));
  }
  json value;
  try {  // the library says what is wrong only by exception
    value = json::parse(text);
  } catch (const json::exception& e) {
    return InvalidArgumentError("{}: not valid JSON: {}", file_name, e.what());
  }
  if (!value.is_object()) {
    return InvalidArgumentError("{}: is {}, allowed: a JSON object", file_name, ShowJson(value));
  }
  return value;
}

std::string ShowJson(const json& value) {
  constexpr size_t kMaxShown = 80;
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "...";
  return text;
}

JsonFields::JsonFields(const json& object, std::string_view file_name, std::string prefix)
    : object_(object), file_name_(file_name), prefix_(std::move(prefix)) {}

bool JsonFields::Has(std::string_view field) const {
  const auto it = object_.find(field);
  return it != object_.end() && !it->is_null();
}

const json& JsonFields::Raw(std::string_view field) const {
  const auto it = object_.find(field);
  PHALANX_CHECK(it != object_.end());
  return *it;
}

void JsonFields::Refuse(std::string_view field, std::string_view found, std::string_view allowed) {
  if (!status_.ok()) return;
  const std::string name = fmt::format("{}{}", prefix_, field);
  status_ = InvalidField(name, found, allowed).WithContext(file_name_);
}

int64_t JsonFields::RequiredInt(std::string_view field, int64_t min, int64_t max) {
  if (const auto value = OptionalInt(field, min, max)) return *value;
  Refuse(field, "missing", fmt::format("an integer from {} to {}", min, max));
  return min;
}

int64_t JsonFields::Int(std::string_view field, int64_t missing, int64_t min, int64_t max) {
  return OptionalInt(field, min, max).value_or(missing);
}

std::optional<int64_t> JsonFields::OptionalInt(std::string_view field, int64_t min, int64_t max) {
  if (!Has(field)) return std::nullopt;
  const json& raw = Raw(field);
  const bool fits =
      raw.is_number_unsigned()
          ? raw.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())
          : raw.is_number_integer();
  if (fits) {
    const auto value = raw.get<int64_t>();
    if (value >= min && value <= max) return value;
  }
  Refuse(field, ShowJson(raw), fmt::format("an integer from {} to {}", min, max));
  return std::nullopt;
}

double JsonFields::Double(std::string_view field, double missing, double min, double max,
                          Bound bound) {
  return OptionalDouble(field, min, max, bound).value_or(missing);
}

std::optional<double> JsonFields::OptionalDouble(std::string_view field, double min, double max,
                                                 Bound bound) {
  if (!Has(field)) return std::nullopt;
  const json& raw = Raw(field);
  if (raw.is_number()) {
    const auto value = raw.get<double>();
    const bool above = bound == Bound::kInclusive ? value >= min : value > min;
    if (std::isfinite(value) && above && value <= max) return value;
  }
  Refuse(
      field, ShowJson(raw),
      fmt::format("a number {} {} and <= {}", bound == Bound::kInclusive ? ">=" : ">", min, max));
  return std::nullopt;
}

std::optional<bool> JsonFields::OptionalBool(std::string_view field) {
  if (!Has(field)) return std::nullopt;
  const json& raw = Raw(field);
  if (raw.is_boolean()) return raw.get<bool>();
  Refuse(field, ShowJson(raw), "true or false");
  return std::nullopt;
}

bool JsonFields::Bool(std::string_view field, bool missing) {
  return OptionalBool(field).value_or(missing);
}

std::string JsonFields::String(std::string_view field, std::string_view missing) {
  if (!Has(field)) return std::string(missing);
  const json& raw = Raw(field);
  if (raw.is_string()) return raw.get<std::string>();
  Refuse(field, ShowJson(raw), "a string");
  return std::string(missing);
}

std::vector<int32_t> JsonFields::TokenIds(std::string_view field) {
  constexpr size_t kMaxIds = 1024;
  std::vector<int32_t> ids;
  if (!Has(field)) return ids;
  const json& raw = Raw(field);
  const json list = raw.is_array() ? raw : json::array({raw});
  for (const json& item : list) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > 0x7fffffffU || list.size() > kMaxIds) {
      Refuse(field, ShowJson(raw), "a token id from 0 to 2147483647, or a list of at most 1024");
      return {};
    }
    ids.push_back(item.get<int32_t>());
  }
  return ids;
}

}  // namespace phalanx
