// Errors that users, files and wires cause. Codes are gRPC's, so that the front maps them one to
// one.
//
// Why not absl::Status: Debian builds abseil with a string_view of its own, which does not convert
// to std::string_view, and it would leak into every header.
//
// A bad field's message always says which field, what it was and what is allowed; the field's name
// also travels beside the message, so that the gRPC front can put it into google.rpc.BadRequest.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/base/check.h"

namespace phalanx {

// Values are those of grpc::StatusCode.
enum class StatusCode : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "INVALID_ARGUMENT" and so on.
std::string_view Name(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // The request field that is at fault; empty where none is.
  const std::string& field() const { return field_; }
  // After how long the same may succeed; 0: not known.
  std::chrono::milliseconds retry_after() const { return retry_after_; }

  Status&& WithField(std::string_view field) && {
    field_ = field;
    return std::move(*this);
  }
  Status&& WithRetryAfter(std::chrono::milliseconds time) && {
    retry_after_ = time;
    return std::move(*this);
  }
  // The same error with "CONTEXT: " before its message.
  Status WithContext(std::string_view context) const;
  std::string ToString() const;  // "OK" or "CODE: message"

  bool operator==(const Status&) const = default;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
  std::string field_;
  std::chrono::milliseconds retry_after_{0};
};

std::ostream& operator<<(std::ostream& os, const Status& status);

inline Status OkStatus() { return {}; }

// Each takes a format string and its arguments as fmt::format does.
#define PHALANX_DEFINE_ERROR_(function, code)                                    \
  template <typename... Args>                                                    \
  Status function(fmt::format_string<Args...> format, Args&&... args) {          \
    return {StatusCode::code, fmt::format(format, std::forward<Args>(args)...)}; \
  }
PHALANX_DEFINE_ERROR_(CancelledError, kCancelled)
PHALANX_DEFINE_ERROR_(InvalidArgumentError, kInvalidArgument)
PHALANX_DEFINE_ERROR_(DeadlineExceededError, kDeadlineExceeded)
PHALANX_DEFINE_ERROR_(NotFoundError, kNotFound)
PHALANX_DEFINE_ERROR_(ResourceExhaustedError, kResourceExhausted)
PHALANX_DEFINE_ERROR_(FailedPreconditionError, kFailedPrecondition)
PHALANX_DEFINE_ERROR_(UnimplementedError, kUnimplemented)
PHALANX_DEFINE_ERROR_(InternalError, kInternal)
PHALANX_DEFINE_ERROR_(UnavailableError, kUnavailable)
PHALANX_DEFINE_ERROR_(DataLossError, kDataLoss)
PHALANX_DEFINE_ERROR_(UnauthenticatedError, kUnauthenticated)
#undef PHALANX_DEFINE_ERROR_

// INVALID_ARGUMENT "FIELD: is VALUE, allowed: ALLOWED". `value` must already be safe to print.
template <typename Value>
Status InvalidField(std::string_view field, const Value& value, std::string_view allowed) {
  return InvalidArgumentError("{}: is {}, allowed: {}", field, value, allowed).WithField(field);
}

// A value or the error why there is none.
template <typename T>
class [[nodiscard]] StatusOr {
 public:
  StatusOr(T value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  StatusOr(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    PHALANX_CHECK(!status_.ok());
  }
  // From what T is made of, e.g. a unique_ptr to a derived class.
  // NOLINTBEGIN(google-explicit-constructor,bugprone-forwarding-reference-overload): constrained
  // below
  template <typename U>
  requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
           !std::is_same_v<std::remove_cvref_t<U>, Status> &&
           !std::is_same_v<std::remove_cvref_t<U>, StatusOr>) StatusOr(U&& value)
      : value_(T(std::forward<U>(value))) {}
  // NOLINTEND(google-explicit-constructor,bugprone-forwarding-reference-overload)

  bool ok() const { return value_.has_value(); }
  const Status& status() const& { return status_; }
  Status status() && { return std::move(status_); }

  T& value() & {
    CheckOk();
    return *value_;
  }
  const T& value() const& {
    CheckOk();
    return *value_;
  }
  T&& value() && {
    CheckOk();
    return *std::move(value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  void CheckOk() const {
    if (!value_.has_value()) [[unlikely]]
      internal::CheckFailed(__FILE__, __LINE__, "value of " + status_.ToString());
  }

  Status status_;
  std::optional<T> value_;
};

}  // namespace phalanx

#define PHALANX_RETURN_IF_ERROR(expression)           \
  do {                                                \
    ::phalanx::Status phalanx_status_ = (expression); \
    if (!phalanx_status_.ok()) [[unlikely]]           \
      return phalanx_status_;                         \
  } while (false)

#define PHALANX_CONCAT_INNER_(a, b) a##b
#define PHALANX_CONCAT_(a, b) PHALANX_CONCAT_INNER_(a, b)

// `lhs` may be a declaration, so it cannot stand in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define PHALANX_ASSIGN_OR_RETURN(lhs, expression) \
  PHALANX_ASSIGN_OR_RETURN_IMPL_(PHALANX_CONCAT_(phalanx_status_or_, __LINE__), lhs, expression)

#define PHALANX_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expression) \
  auto tmp = (expression);                                   \
  if (!tmp.ok()) [[unlikely]]                                \
    return std::move(tmp).status();                          \
  lhs = *std::move(tmp)
// NOLINTEND(bugprone-macro-parentheses)
