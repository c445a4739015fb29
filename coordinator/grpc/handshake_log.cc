#include "coordinator/grpc/handshake_log.h"

#include <grpc/support/log.h>
#include <spdlog/spdlog.h>

#include <mutex>

namespace phalanx {
namespace {

// gRPC's log calls a plain function, without anything of ours.
std::mutex target_mu;
RefusalLog* target = nullptr;  // guarded by target_mu

void OnLine(gpr_log_func_args* args) {
  Refused refused;
  if (ReadHandshakeLine(args->message, &refused)) {
    const std::lock_guard lock(target_mu);
    if (target != nullptr) target->Add(refused);
    return;
  }
  const bool is_error = args->severity == GPR_LOG_SEVERITY_ERROR;
  spdlog::log(is_error ? spdlog::level::debug : spdlog::level::trace, "grpc: {}", args->message);
}

}  // namespace

HandshakeLog::HandshakeLog(RefusalLog& refusals) {
  {
    const std::lock_guard lock(target_mu);
    target = &refusals;
  }
  gpr_set_log_function(&OnLine);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_DEBUG);  // what it says of handshakes
}

HandshakeLog::~HandshakeLog() {
  const std::lock_guard lock(target_mu);
  target = nullptr;
}

bool ReadHandshakeLine(std::string_view line, Refused* refused) {
  constexpr std::string_view kStart = "Handshaking failed: ";
  constexpr std::string_view kReason = "SSL routines::";
  if (!line.starts_with(kStart)) return false;
  refused->protocol = FrontProtocol::kGrpc;
  if (line.find("Handshake timed out") != std::string_view::npos) {
    refused->kind = RefusalKind::kHandshakeTimeout;
    return true;
  }
  const size_t reason = line.find(kReason);
  if (reason == std::string_view::npos) return false;
  refused->kind = RefusalKind::kHandshake;
  refused->detail = line.substr(reason + kReason.size());
  refused->detail = refused->detail.substr(0, refused->detail.find(" {"));
  return true;
}

}  // namespace phalanx
