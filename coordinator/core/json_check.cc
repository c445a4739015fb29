#include "coordinator/core/json_check.h"

#include <utility>

#include "coordinator/core/printable.h"
#include "kernels/base/json_bounds.h"

namespace phalanx {
namespace {

// Where a number lies that is too large: the field, and the key in it.
std::string PathOf(std::string_view field, const JsonFault& fault) {
  if (fault.key.empty()) return std::string(field);
  return fmt::format("{}.{}", field, SafeKey(fault.key));
}

std::string Shortened(const std::string& number) {
  constexpr size_t kMaxBytes = 32;
  return number.size() <= kMaxBytes ? number : fmt::format("{}...", number.substr(0, kMaxBytes));
}

Status Describe(std::string_view field, const JsonFault& fault, const Limits& limits) {
  using Kind = JsonFault::Kind;
  switch (fault.kind) {
    case Kind::kTooDeep:
      return InvalidArgumentError("{}: is nested deeper than {} levels, allowed: at most {}", field,
                                  limits.max_json_depth, limits.max_json_depth);
    case Kind::kTooManyKeys:
      return InvalidArgumentError("{}: has more than {} keys, allowed: at most {}", field,
                                  limits.max_json_keys, limits.max_json_keys);
    case Kind::kDuplicateKey:
      return InvalidArgumentError("{}: has the key {} twice in one object, allowed: once", field,
                                  Printable(fault.key));
    case Kind::kNoObject:
      return InvalidField(field, "no object", "one JSON object");
    case Kind::kNumberTooLarge:
      return InvalidField(PathOf(field, fault), Shortened(fault.number),
                          "numbers that a double can hold");
    case Kind::kNotJson:
      break;
  }
  return InvalidArgumentError("{}: is not JSON at byte {}, allowed: one JSON object", field,
                              fault.position);
}

}  // namespace

Status CheckJsonObject(std::string_view field, std::string_view text, const Limits& limits) {
  const std::optional<JsonFault> fault =
      FindJsonFault(text, {.max_depth = static_cast<size_t>(limits.max_json_depth),
                           .max_keys = limits.max_json_keys,
                           .top = JsonTop::kObject});
  if (!fault) return OkStatus();
  Status described = Describe(field, *fault, limits);
  if (!described.field().empty()) return described;
  return std::move(described).WithField(field);
}

}  // namespace phalanx
