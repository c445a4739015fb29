// The process's log: one line a message on standard error, control characters escaped.
#pragma once

#include <string>

namespace phalanx {

enum class LogFormat { kText, kJson };

// `program` goes into each line; it must hold no % sign. `level` is one of spdlog's names (trace,
// debug, info, warning, error, critical, off). Also sends what gRPC and protobuf log there, at
// level debug, since clients can cause it. Once, at start.
void ConfigureLog(const std::string& program, const std::string& level, LogFormat format);

}  // namespace phalanx
