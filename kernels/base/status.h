// Errors that users, files and wires cause. The type is absl::Status, whose codes equal gRPC's;
// this header adds the project's convention for bad fields and the two macros that pass errors up.
//
// A bad field's message always says which field, what it was and what is allowed, and the field's
// name also travels as a payload, so that the gRPC front can put it into google.rpc.BadRequest.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace phalanx {

using absl::Status;
using absl::StatusOr;

inline constexpr std::string_view kFieldPayload = "phalanx/field";

// INVALID_ARGUMENT "FIELD: is VALUE, allowed: ALLOWED". `value` must already be safe to print.
inline Status InvalidField(std::string_view field, std::string_view value,
                           std::string_view allowed) {
  Status status =
      absl::InvalidArgumentError(absl::StrCat(field, ": is ", value, ", allowed: ", allowed));
  status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

// The field that an InvalidField status names, if any.
inline std::optional<std::string> FieldOf(const Status& status) {
  if (auto payload = status.GetPayload(kFieldPayload)) return std::string(*payload);
  return std::nullopt;
}

}  // namespace phalanx

#define PHALANX_RETURN_IF_ERROR(expression)        \
  do {                                             \
    ::absl::Status phalanx_status_ = (expression); \
    if (!phalanx_status_.ok()) [[unlikely]]        \
      return phalanx_status_;                      \
  } while (false)

#define PHALANX_CONCAT_INNER_(a, b) a##b
#define PHALANX_CONCAT_(a, b) PHALANX_CONCAT_INNER_(a, b)

#define PHALANX_ASSIGN_OR_RETURN(lhs, expression) \
  PHALANX_ASSIGN_OR_RETURN_IMPL_(PHALANX_CONCAT_(phalanx_status_or_, __LINE__), lhs, expression)

#define PHALANX_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expression) \
  auto tmp = (expression);                                   \
  if (!tmp.ok()) [[unlikely]]                                \
    return std::move(tmp).status();                          \
  lhs = *std::move(tmp)
