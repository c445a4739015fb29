// The flags of `worker`. Names and meanings are vLLM's where there is one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>

#include "app/log.h"
#include "grammar/grammar_spec.h"
#include "parallel/mpi_factory.h"
#include "worker/group.h"

namespace phalanx {

struct WorkerOptions {
  GroupOptions group;
  GrammarLimits grammar_limits;
  int tensor_parallel_size = 0;  // 0: not given
  CommunicatorKind communicator = CommunicatorKind::kAuto;
  std::filesystem::path engine;  // the coordinator's socket
  std::string log_level = "info";
  LogFormat log_format = LogFormat::kText;
};

struct ExitCode {
  int value = 0;
};

// Options, or the code to exit with because --help or --version was asked for (0) or a flag is
// wrong (2); the message has been printed, by one rank only.
std::variant<WorkerOptions, ExitCode> ParseWorkerOptions(int argc, const char* const* argv);

// "4096", "32k" (32,000) or "32K" (32,768); also m, M, g, G. INVALID_ARGUMENT naming `flag`
// otherwise.
StatusOr<int64_t> ParseCount(std::string_view flag, std::string_view text);

}  // namespace phalanx
