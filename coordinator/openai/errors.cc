#include "coordinator/openai/errors.h"

#include <algorithm>

#include "coordinator/core/retry.h"
#include "coordinator/openai/json_writer.h"

namespace phalanx::openai {
namespace {

constexpr int kClientClosedRequest = 499;  // nginx's; nobody is left to read it

std::string_view TypeOf(StatusCode code) {
  switch (code) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kOutOfRange:
      return "BadRequestError";
    case StatusCode::kNotFound:
      return "NotFoundError";
    case StatusCode::kUnauthenticated:
      return "AuthenticationError";
    case StatusCode::kPermissionDenied:
      return "PermissionDeniedError";
    case StatusCode::kResourceExhausted:
      return "RateLimitError";
    case StatusCode::kUnimplemented:
      return "NotImplementedError";
    case StatusCode::kUnavailable:
      return "ServiceUnavailableError";
    case StatusCode::kDeadlineExceeded:
      return "TimeoutError";
    case StatusCode::kCancelled:
      return "CancelledError";
    default:
      return "InternalServerError";
  }
}

constexpr Renaming kRenamings[] = {
    {"sampling.", ""},         {"body.", ""},
    {"prompt.text", "prompt"}, {"prompt.token_ids", "prompt"},
    {"tools_json", "tools"},   {"chat_template_kwargs_json", "chat_template_kwargs"},
};

std::string RenamedField(std::string field, std::span<const Renaming> own) {
  const auto apply = [&field](std::span<const Renaming> renamings) {
    const auto fits = [&](const Renaming& renaming) { return field.starts_with(renaming.from); };
    const auto it = std::find_if(renamings.begin(), renamings.end(), fits);
    if (it != renamings.end()) field.replace(0, it->from.size(), it->to);
    return it != renamings.end();
  };
  if (!apply(own)) apply(kRenamings);
  constexpr std::string_view kArguments = ".arguments_json";
  if (field.ends_with(kArguments)) {
    field.replace(field.size() - kArguments.size(), kArguments.size(), ".function.arguments");
  }
  return field;
}

}  // namespace

int HttpStatusOf(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return 200;
    case StatusCode::kInvalidArgument:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kOutOfRange:
      return 400;
    case StatusCode::kUnauthenticated:
      return 401;
    case StatusCode::kPermissionDenied:
      return 403;
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kResourceExhausted:
      return 429;
    case StatusCode::kCancelled:
      return kClientClosedRequest;
    case StatusCode::kUnimplemented:
      return 501;
    case StatusCode::kUnavailable:
      return 503;
    case StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

Status InWordsOfApi(const Status& status, std::span<const Renaming> own) {
  if (status.field().empty()) return status;
  const std::string field = RenamedField(status.field(), own);
  if (field == status.field()) return status;
  std::string message = status.message();
  if (message.starts_with(status.field())) message.replace(0, status.field().size(), field);
  return Status(status.code(), std::move(message))
      .WithField(field)
      .WithRetryAfter(status.retry_after());
}

std::string ErrorBody(std::string_view message, std::string_view type, std::string_view param,
                      int code) {
  std::string body = "{\"error\":{\"message\":";
  AppendJsonString(message, &body);
  body += ",\"type\":";
  AppendJsonString(type, &body);
  body += ",\"param\":";
  if (param.empty()) {
    body += "null";
  } else {
    AppendJsonString(param, &body);
  }
  body += ",\"code\":";
  AppendInt(code, &body);
  body += "}}";
  return body;
}

std::string ErrorBody(const Status& status) {
  return ErrorBody(status.message(), TypeOf(status.code()), status.field(),
                   HttpStatusOf(status.code()));
}

http::Response ErrorResponse(const Status& status) {
  http::Response response;
  response.status = HttpStatusOf(status.code());
  response.body = ErrorBody(status);
  const bool may_retry =
      status.code() == StatusCode::kResourceExhausted || status.code() == StatusCode::kUnavailable;
  // Another server behind the same name may take it, so clients are not told to give up either.
  if (status.retry_after() == kNeverHere) return response;
  if (status.code() == StatusCode::kUnauthenticated) {
    response.headers.push_back({"WWW-Authenticate", "Bearer"});
  } else if (may_retry) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(status.retry_after()).count();
    response.headers.push_back({"Retry-After", std::to_string(std::max<int64_t>(seconds, 1))});
  } else if (response.status >= 500) {
    response.headers.push_back({"X-Should-Retry", "false"});  // OpenAI's clients heed it
  }
  return response;
}

}  // namespace phalanx::openai
