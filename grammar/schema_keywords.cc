#include "grammar/schema_keywords.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

namespace phalanx {
namespace {

using Json = nlohmann::json;

constexpr std::array kUnsupported = {"not",
                                     "if",
                                     "then",
                                     "else",
                                     "dependentRequired",
                                     "dependentSchemas",
                                     "dependencies",
                                     "contains",
                                     "minContains",
                                     "maxContains"};

// Whatever else a schema holds (title, description, default, ...) says nothing of the text.
constexpr std::array kConstraints = {"type",
                                     "enum",
                                     "const",
                                     "properties",
                                     "patternProperties",
                                     "additionalProperties",
                                     "required",
                                     "propertyNames",
                                     "minProperties",
                                     "maxProperties",
                                     "unevaluatedProperties",
                                     "items",
                                     "prefixItems",
                                     "unevaluatedItems",
                                     "minItems",
                                     "maxItems",
                                     "minimum",
                                     "maximum",
                                     "exclusiveMinimum",
                                     "exclusiveMaximum",
                                     "multipleOf",
                                     "minLength",
                                     "maxLength",
                                     "pattern",
                                     "format",
                                     "$ref",
                                     "anyOf",
                                     "oneOf",
                                     "allOf"};

constexpr std::array kReadAlone = {"$ref", "anyOf", "oneOf", "allOf"};

bool HasType(const Json& value, std::string_view type) {
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "number") return value.is_number();
  if (type != "integer") return true;  // the library refuses the type itself
  return value.is_number_integer() ||
         (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()));
}

bool HasOneOf(const Json& value, const Json& types) {
  if (types.is_string()) return HasType(value, types.get_ref<const std::string&>());
  if (!types.is_array()) return true;
  return std::ranges::any_of(types, [&](const Json& type) {
    return !type.is_string() || HasType(value, type.get_ref<const std::string&>());
  });
}

// Alternatives that say the same type themselves lose nothing by its being dropped beside them.
bool EachSaysType(const Json& alternatives, const Json& type) {
  return alternatives.is_array() && std::ranges::all_of(alternatives, [&](const Json& schema) {
           return schema.is_object() && schema.value("type", Json()) == type;
         });
}

Status CheckReadAlone(const Json& schema, const char* alone) {
  for (const char* keyword : kConstraints) {
    if (std::string_view(keyword) == alone || !schema.contains(keyword)) continue;
    const bool is_type = std::string_view(keyword) == "type";
    if (is_type && EachSaysType(schema.at(alone), schema.at("type"))) continue;
    return InvalidArgumentError(
        "has the keyword {} beside {}, which is not supported: it belongs into what {} names",
        keyword, alone, alone);
  }
  return OkStatus();
}

Status CheckValues(const Json& schema, const char* keyword) {
  for (const char* other : kConstraints) {
    const std::string_view name = other;
    if (name == keyword || name == "type" || !schema.contains(other)) continue;
    return InvalidArgumentError("has the keyword {} beside {}, which is not supported", other,
                                keyword);
  }
  if (!schema.contains("type")) return OkStatus();
  const Json& value = schema.at(keyword);
  const Json values = value.is_array() && std::string_view(keyword) == "enum" ? value : Json{value};
  for (const Json& each : values) {
    if (HasOneOf(each, schema.at("type"))) continue;
    return InvalidArgumentError("has the value {} in its {}, which is not of its type", each.dump(),
                                keyword);
  }
  return OkStatus();
}

Status CheckRequired(const Json& schema) {
  const auto required = schema.find("required");
  if (required == schema.end() || !required->is_array()) return OkStatus();
  const auto properties = schema.find("properties");
  for (const Json& name : *required) {
    if (!name.is_string()) continue;  // the library refuses it
    const bool is_described = properties != schema.end() && properties->is_object() &&
                              properties->contains(name.get_ref<const std::string&>());
    if (is_described) continue;
    return InvalidArgumentError("requires {}, which is not among its properties", name.dump());
  }
  return OkStatus();
}

// The library matches a pattern with the text as JSON writes it, where quotes, backslashes and
// control characters stand escaped.
Status CheckPattern(const Json& schema) {
  const auto found = schema.find("pattern");
  if (found == schema.end() || !found->is_string()) return OkStatus();
  constexpr std::string_view kEscapes = "\\\"nrtfv0xuc";
  const std::string& pattern = found->get_ref<const std::string&>();
  for (size_t at = 0; at < pattern.size(); ++at) {
    const bool is_escape = pattern[at] == '\\' && at + 1 < pattern.size();
    const bool is_special = static_cast<unsigned char>(pattern[at]) < ' ' || pattern[at] == '"' ||
                            (is_escape && kEscapes.find(pattern[at + 1]) != std::string_view::npos);
    if (is_special) {
      return InvalidArgumentError(
          "has a pattern that names a quote, backslash or control character, or a character by its "
          "number, at byte {}, which is not supported",
          at);
    }
    if (is_escape) ++at;
  }
  return OkStatus();
}

// The library writes numbers between bounds with at most 6 decimals.
constexpr double kDecimals = 1e6;

struct Bound {
  const char* keyword = nullptr;  // null: there is none
  double steps = 0;  // the outermost number that it allows, in units of the last decimal
};

// The stricter one of two keywords; `sign` is 1 for lower bounds, -1 for upper ones.
Bound StricterBound(const Json& schema, const char* inclusive, const char* exclusive, int sign) {
  Bound bound;
  for (const char* keyword : {inclusive, exclusive}) {
    const auto found = schema.find(keyword);
    if (found == schema.end() || !found->is_number()) continue;
    double steps = std::round(found->get<double>() * kDecimals);
    if (keyword == exclusive) steps += sign;
    if (bound.keyword == nullptr || sign * steps > sign * bound.steps) bound = {keyword, steps};
  }
  return bound;
}

// No text at all would fit, and the library would let an empty answer pass for it.
Status CheckRange(const Json& schema) {
  const Bound low = StricterBound(schema, "minimum", "exclusiveMinimum", 1);
  const Bound high = StricterBound(schema, "maximum", "exclusiveMaximum", -1);
  if (low.keyword == nullptr || high.keyword == nullptr || low.steps <= high.steps) {
    return OkStatus();
  }
  return InvalidArgumentError(
      "has {} {} and {} {}, allowed: bounds with a number of at most 6 decimals between them",
      low.keyword, schema.at(low.keyword).dump(), high.keyword, schema.at(high.keyword).dump());
}

Status CheckBounds(const Json& schema) {
  for (const char* bound : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
    const auto found = schema.find(bound);
    if (found == schema.end() || !found->is_number_float()) continue;
    const double scaled = found->get<double>() * kDecimals;
    if (std::abs(scaled - std::round(scaled)) <= 1e-9 * std::max(1.0, std::abs(scaled))) continue;
    return InvalidArgumentError("has {} {}, allowed: at most 6 decimals", bound, found->dump());
  }
  return OkStatus();
}

}  // namespace

Status CheckSchemaKeywords(const Json& schema) {
  if (!schema.is_object()) return OkStatus();
  for (const char* keyword : kUnsupported) {
    if (schema.contains(keyword)) {
      return InvalidArgumentError("has the keyword {}, which is not supported", keyword);
    }
  }
  if (schema.value("uniqueItems", Json(false)) != false) {
    return InvalidArgumentError("has the keyword uniqueItems, which is not supported");
  }
  for (const char* keyword : kReadAlone) {
    if (schema.contains(keyword)) PHALANX_RETURN_IF_ERROR(CheckReadAlone(schema, keyword));
  }
  for (const char* keyword : {"enum", "const"}) {
    if (schema.contains(keyword)) PHALANX_RETURN_IF_ERROR(CheckValues(schema, keyword));
  }
  PHALANX_RETURN_IF_ERROR(CheckRequired(schema));
  PHALANX_RETURN_IF_ERROR(CheckPattern(schema));
  PHALANX_RETURN_IF_ERROR(CheckBounds(schema));
  return CheckRange(schema);
}

}  // namespace phalanx
