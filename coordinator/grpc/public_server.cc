#include "coordinator/grpc/public_server.h"

#include <absl/synchronization/mutex.h>
#include <dlfcn.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "coordinator/core/bind_address.h"
#include "coordinator/core/printable.h"
#include "coordinator/grpc/inference_service.h"

namespace phalanx {
namespace {

constexpr char kServiceName[] = "phalanx.v1.Inference";

// gRPC's reflection library adds itself to every server as it is loaded, so it is loaded on
// request.
Status LoadReflection() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto module = self.parent_path() / "phalanx_reflection.so";
  if (dlopen(module.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return FailedPreconditionError("--enable-reflection: {}", dlerror());
  }
  return OkStatus();
}

void SetLimits(const Limits& limits, grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(limits.max_receive_bytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, limits.max_metadata_bytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_connection_calls);
  // Without it two servers share a port and nobody is told.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                              static_cast<int>(limits.max_idle_time.count()));
  // Who connects has to speak HTTP/2 soon.
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  // A client whose host is gone never closes its connection.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  // Of a message that is not read 64 KiB come, however fast the line is; one that is read comes at
  // full speed.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  // A compressed request could be a thousand times its size.
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

std::shared_ptr<grpc::ServerCredentials> CredentialsOf(const PublicServerOptions& options) {
  if (options.tls == nullptr) return grpc::InsecureServerCredentials();
  return options.tls;
}

// gRPC keeps the reason to itself.
std::string_view WhyNoSocket(const std::string& path) {
  constexpr size_t kMostBytes = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > kMostBytes) return "the path is too long for a socket";
  const std::filesystem::path folder = std::filesystem::absolute(path).parent_path();
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) return "its folder does not exist";
  if (access(folder.c_str(), W_OK) != 0) return "its folder cannot be written";
  return "something is there already";
}

}  // namespace

StatusOr<std::unique_ptr<PublicServer>> PublicServer::Start(const PublicServerOptions& options,
                                                            Frontend& frontend, TaskQueue& queue) {
  if (options.reflection == Reflection::kOn) PHALANX_RETURN_IF_ERROR(LoadReflection());
  std::unique_ptr<PublicServer> result(new PublicServer());
  result->service_ = MakeInferenceService(frontend, queue);
  result->tls_ = options.tls;
  const bool is_unix = !options.unix_path.empty();
  const bool is_v6 = options.host.find(':') != std::string::npos;
  const std::string host = is_v6 ? fmt::format("[{}]", options.host) : options.host;

  // Debian builds Abseil so that every lock of gRPC looks for a cycle: a tenth of a token's CPU
  // time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  SetLimits(frontend.limits(), &builder);
  // Beyond it idle connections are closed, then calls refused; the others wait to be read.
  constexpr char kQuotaName[] = "clients";
  builder.SetResourceQuota(
      grpc::ResourceQuota(kQuotaName).Resize(static_cast<size_t>(options.max_memory_bytes)));
  int port = 0;
  Ipv4Listener::Server connections;
  if (!is_unix && IsAllOfIpv4(options.host)) {
    auto listener = Ipv4Listener::Listen(options.port);
    if (!listener.ok()) {
      grpc::EnableDefaultHealthCheckService(false);
      return listener.status().WithContext("--grpc-port");
    }
    result->listener_ = *std::move(listener);
    port = result->listener_->port();
    using From = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
    connections =
        builder.experimental().AddExternalConnectionAcceptor(From::FROM_FD, CredentialsOf(options));
  } else {
    builder.AddListeningPort(
        is_unix ? "unix:" + options.unix_path : fmt::format("{}:{}", host, options.port),
        is_unix ? grpc::InsecureServerCredentials() : CredentialsOf(options), &port);
  }
  builder.RegisterService(result->service_.get());
  result->server_ = builder.BuildAndStart();
  grpc::EnableDefaultHealthCheckService(false);
  if (result->server_ == nullptr && is_unix) {
    return FailedPreconditionError("--grpc-uds: cannot listen on {}: {}",
                                   Printable(options.unix_path), WhyNoSocket(options.unix_path));
  }
  if (result->server_ == nullptr) {
    return FailedPreconditionError("--grpc-port: cannot listen on {}:{}: {}", host, options.port,
                                   WhyNotBound(options.host, options.port));
  }
  if (connections != nullptr) result->listener_->Start(std::move(connections));
  result->SetServing(ServingState::kLoading);
  result->address_ = is_unix ? "unix:" + options.unix_path : fmt::format("{}:{}", host, port);
  return result;
}

PublicServer::~PublicServer() { Shutdown(); }

void PublicServer::SetServing(ServingState state) {
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  health->SetServingStatus("", state == ServingState::kReady);
  health->SetServingStatus(kServiceName, state == ServingState::kReady);
}

void PublicServer::Shutdown() {
  listener_.reset();
  if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
}

}  // namespace phalanx
