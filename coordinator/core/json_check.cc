#include "coordinator/core/json_check.h"

#include "coordinator/core/printable.h"
#include "kernels/base/json_bounds.h"

namespace phalanx {
namespace {

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
  return fault ? Describe(field, *fault, limits).WithField(field) : OkStatus();
}

}  // namespace phalanx
