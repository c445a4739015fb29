#include "coordinator/grpc/public_server.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "coordinator/core/printable.h"
#include "coordinator/grpc/inference_service.h"

namespace phalanx {
namespace {

constexpr char kServiceName[] = "phalanx.v1.Inference";

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

StatusOr<AddressList> Resolve(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    return NotFoundError("--host: is {}, allowed: an address or name of this host ({})",
                         Printable(host), gai_strerror(error));
  }
  return AddressList(found, &freeaddrinfo);
}

// Why gRPC could not bind: it does not say.
std::string BindError(const PublicServerOptions& options) {
  const StatusOr<AddressList> addresses = Resolve(options.host, options.port);
  if (!addresses.ok()) return addresses.status().message();
  const addrinfo* address = addresses->get();
  const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool bound = fd >= 0 && bind(fd, address->ai_addr, address->ai_addrlen) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  return bound ? "the address could not be bound" : std::strerror(error);
}

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
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                              2 * (limits.max_running + limits.max_waiting));
  // Without it two servers share a port and nobody is told.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A client whose host is gone never closes its connection.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  // A compressed request could be a thousand times its size.
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

}  // namespace

StatusOr<bool> IsLoopback(const std::string& host) {
  PHALANX_ASSIGN_OR_RETURN(const AddressList addresses, Resolve(host, 0));
  for (const addrinfo* it = addresses.get(); it != nullptr; it = it->ai_next) {
    if (it->ai_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(it->ai_addr);
      if ((ntohl(v4->sin_addr.s_addr) >> 24) != IN_LOOPBACKNET) return false;
    } else {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(it->ai_addr);
      if (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) == 0) return false;
    }
  }
  return true;
}

StatusOr<std::unique_ptr<PublicServer>> PublicServer::Start(const PublicServerOptions& options,
                                                            Frontend& frontend, TaskQueue& queue) {
  if (options.reflection == Reflection::kOn) PHALANX_RETURN_IF_ERROR(LoadReflection());
  std::unique_ptr<PublicServer> result(new PublicServer());
  result->service_ = MakeInferenceService(frontend, queue);
  const bool is_unix = !options.unix_path.empty();
  const bool is_v6 = options.host.find(':') != std::string::npos;
  const std::string host = is_v6 ? fmt::format("[{}]", options.host) : options.host;

  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  SetLimits(frontend.limits(), &builder);
  int port = 0;
  builder.AddListeningPort(
      is_unix ? "unix:" + options.unix_path : fmt::format("{}:{}", host, options.port),
      grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(result->service_.get());
  result->server_ = builder.BuildAndStart();
  grpc::EnableDefaultHealthCheckService(false);
  if (result->server_ == nullptr && is_unix) {
    return FailedPreconditionError("--grpc-uds: cannot listen on {}", Printable(options.unix_path));
  }
  if (result->server_ == nullptr) {
    return FailedPreconditionError("--grpc-port: cannot listen on {}:{}: {}", host, options.port,
                                   BindError(options));
  }
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
  if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
}

}  // namespace phalanx
