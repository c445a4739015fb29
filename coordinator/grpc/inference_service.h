// phalanx.v1.Inference over gRPC: a thin skin, all rules are the front's.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "coordinator/core/frontend.h"
#include "coordinator/core/task_queue.h"

namespace phalanx {

// Both must outlive the service's server.
std::unique_ptr<grpc::Service> MakeInferenceService(Frontend& frontend, TaskQueue& queue);

}  // namespace phalanx
