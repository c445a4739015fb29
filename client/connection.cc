#include "client/connection.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>

#include "client/number_flag.h"
#include "client/terminal.h"
#include "google/rpc/error_details.pb.h"

namespace phalanx {
namespace {

constexpr double kMaxTimeoutSeconds = 1e9;

// gRPC would take a name without a port for one with port 443.
Status CheckServer(const std::string& server) {
  constexpr std::string_view kUnix = "unix:";
  bool is_known = server.starts_with(kUnix) && server.size() > kUnix.size();
  if (const size_t colon = server.rfind(':'); !is_known && colon != std::string::npos) {
    const auto port = ParseNumber<int32_t>("port", server.substr(colon + 1), {1, 65535});
    is_known = port.ok() && colon > 0 && server.find('/') == std::string::npos;
  }
  if (is_known) return OkStatus();
  return InvalidField("--server", fmt::format("'{}'", server),
                      "HOST:PORT with a port from 1 to 65535, or unix:PATH");
}

StatusOr<std::string> ReadPem(std::string_view flag, const std::string& file) {
  std::ifstream in(file);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  if (!in || text.empty()) return InvalidField(flag, fmt::format("'{}'", file), "a file of PEM");
  return text;
}

// Takes the file's text.
CLI::Option* AddPem(CLI::App& app, const char* flag, std::string& text, const char* help) {
  return app.add_option_function<std::string>(
      flag,
      [flag, &text](const std::string& file) {
        StatusOr<std::string> pem = ReadPem(flag, file);
        ThrowIfWrong(pem.status());
        text = *std::move(pem);
      },
      help);
}

// What gRPC's message means; empty where it speaks for itself.
std::string Advice(const Status& status, const ConnectionFlags& connection) {
  const auto says = [&](std::string_view words) {
    return status.message().find(words) != std::string::npos;
  };
  if (status.code() == StatusCode::kDeadlineExceeded && connection.timeout_seconds > 0)
    return fmt::format("--timeout {} has passed", connection.timeout_seconds);
  if (status.code() == StatusCode::kUnauthenticated)
    return connection.api_key.empty() ? "PHALANX_API_KEY in the environment is sent as the key"
                                      : "PHALANX_API_KEY holds the key that was sent";
  if (status.code() == StatusCode::kUnimplemented)
    return fmt::format("what answers at {} is no service of this kind, or another version of it",
                       connection.server);
  if (status.code() != StatusCode::kUnavailable) return "";
  if (says("failed to connect to all addresses") || says("DNS resolution failed"))
    return fmt::format(
        "no service answers at {}; `launch/serve.sh --model DIR -np N` starts one, --server names "
        "another address",
        connection.server);
  if (says("Ssl handshake failed") || says("tls:"))
    return fmt::format("{} shows no certificate of the authorities that --ssl-ca-certs names",
                       connection.server);
  if (says("Socket closed") || says("Connection reset") || says("Broken pipe"))
    return fmt::format("the service at {} has gone away", connection.server);
  return "";
}

}  // namespace

void AddConnectionFlags(CLI::App& app, ConnectionFlags& flags) {
  // Hidden: others on the machine can read a command line, and not the environment.
  app.add_option("--api-key", flags.api_key)
      ->envname("PHALANX_API_KEY")
      ->group("")
      ->check([](const std::string& key) -> std::string {
        const bool fits = std::ranges::all_of(key, [](char c) { return c > ' ' && c <= '~'; });
        return fits ? ""
                    : "PHALANX_API_KEY: holds a space or control character, allowed: a key alone";
      });
  app.add_option_function<std::string>(
         "--server",
         [&flags](const std::string& server) {
           ThrowIfWrong(CheckServer(server));
           flags.server = server;
         },
         "address of the coordinator: HOST:PORT or unix:PATH")
      ->default_str(flags.server);
  auto* authorities = AddPem(app, "--ssl-ca-certs", flags.authorities,
                             "speak TLS and trust these authorities (PEM)");
  auto* certificate = AddPem(app, "--ssl-certfile", flags.certificate,
                             "certificate of this client, for servers that ask (PEM)");
  auto* key = AddPem(app, "--ssl-keyfile", flags.key, "its key (PEM)");
  certificate->needs(key)->needs(authorities);
  key->needs(certificate);
  AddNumber<double>(app, "--timeout", {0, kMaxTimeoutSeconds}, flags.timeout_seconds,
                    "give up after so many seconds; 0: never");
}

std::unique_ptr<v1::Inference::StubInterface> Connect(const ConnectionFlags& flags) {
  auto credentials = grpc::InsecureChannelCredentials();
  if (!flags.authorities.empty()) {
    credentials = grpc::SslCredentials({.pem_root_certs = flags.authorities,
                                        .pem_private_key = flags.key,
                                        .pem_cert_chain = flags.certificate});
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // prompt_logprobs of a long prompt are large
  // gRPC would leave a server that comes back alone for up to two minutes.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return v1::Inference::NewStub(grpc::CreateCustomChannel(flags.server, credentials, arguments));
}

void Prepare(grpc::ClientContext& context, const ConnectionFlags& flags) {
  if (!flags.api_key.empty()) context.AddMetadata("authorization", "Bearer " + flags.api_key);
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
  PrintError(fmt::format("phalanx: {}{}", status.ToString(),
                         names_field ? "" : fmt::format(" (field {})", status.field())));
  return ExitCodeOf(status);
}

ExitCode ReportError(const Status& status, const ConnectionFlags& connection) {
  const ExitCode code = ReportError(status);
  const std::string advice = Advice(status, connection);
  if (!advice.empty()) PrintError("phalanx: " + advice);
  return code;
}

}  // namespace phalanx
