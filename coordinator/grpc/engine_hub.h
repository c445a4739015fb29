// The coordinator's end of the engine channel: rank 0 of a worker group attaches, commands go out,
// events come in.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>
#include <string>

#include "coordinator/core/dispatcher.h"

namespace phalanx {

// `token` is what a group must show; `dispatcher` must outlive the service's server.
std::unique_ptr<grpc::Service> MakeEngineHub(Dispatcher& dispatcher, std::string token);

}  // namespace phalanx
