#include "client/connection.h"

#include <fmt/format.h>

#include <chrono>

#include "google/rpc/error_details.pb.h"

namespace phalanx {

void AddConnectionFlags(CLI::App& app, ConnectionFlags& flags) {
  app.add_option("--server", flags.server, "address of the coordinator: HOST:PORT or unix:PATH")
      ->capture_default_str();
  app.add_option("--timeout", flags.timeout_seconds, "give up after so many seconds; 0: never")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

std::unique_ptr<v1::Inference::StubInterface> Connect(const ConnectionFlags& flags) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // prompt_logprobs of a long prompt are large
  return v1::Inference::NewStub(
      grpc::CreateCustomChannel(flags.server, grpc::InsecureChannelCredentials(), arguments));
}

void Prepare(grpc::ClientContext& context, const ConnectionFlags& flags) {
  if (flags.timeout_seconds <= 0) return;
  context.set_deadline(
      std::chrono::system_clock::now() +
      std::chrono::microseconds(static_cast<int64_t>(flags.timeout_seconds * 1e6)));
}

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return OkStatus();
  Status result(static_cast<StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return result;
  for (const google::rpc::Any& detail : details.details()) {
    google::rpc::BadRequest bad_request;
    if (detail.type_url() != "type.googleapis.com/google.rpc.BadRequest") continue;
    if (!bad_request.ParseFromString(detail.value())) continue;
    if (bad_request.field_violations_size() > 0)
      return std::move(result).WithField(bad_request.field_violations(0).field());
  }
  return result;
}

ExitCode ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return kExitOk;
    case StatusCode::kInvalidArgument:
    case StatusCode::kNotFound:
      return kExitInvalid;
    case StatusCode::kUnavailable:
      return kExitUnavailable;
    default:
      return kExitError;
  }
}

ExitCode ReportError(const Status& status) {
  const bool names_field = status.message().find(status.field()) != std::string::npos;
  fmt::print(stderr, "phalanx: {}{}\n", status.ToString(),
             names_field ? "" : fmt::format(" (field {})", status.field()));
  return ExitCodeOf(status);
}

}  // namespace phalanx
