#include "worker/loss_report.h"

#include <grpcpp/grpcpp.h>

#include <fstream>

#include "phalanx/internal/engine.grpc.pb.h"

namespace phalanx {

Status SendLossReport(const LossReport& report) {
  const std::string socket = report.socket.string();
  internal::GroupLoss loss;
  if (std::ifstream file(socket + ".token"); !(file >> *loss.mutable_token())) {
    return UnavailableError("no coordinator: cannot read {}.token", socket);
  }
  loss.set_pid(report.rank0_pid);
  loss.set_reason(std::string(report.reason));
  const auto stub = internal::EngineHub::NewStub(
      grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + report.patience);
  internal::GroupLossAck ack;
  const grpc::Status status = stub->ReportLoss(&context, loss, &ack);
  if (status.ok()) return OkStatus();
  return Status(static_cast<StatusCode>(status.error_code()),
                fmt::format("the coordinator on {}: {}", socket, status.error_message()));
}

}  // namespace phalanx
