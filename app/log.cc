#include "app/log.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string_view>
#include <utility>

namespace phalanx {
namespace {

constexpr char kEscapedMessage = '*';

// The message with control characters, and for JSON quotes and backslashes, escaped.
class EscapedMessage final : public spdlog::custom_flag_formatter {
 public:
  explicit EscapedMessage(LogFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    for (const char c : std::string_view(message.payload.data(), message.payload.size())) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte == 0x7F) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
      } else {
        if (format_ == LogFormat::kJson && (c == '"' || c == '\\')) out.push_back('\\');
        out.push_back(c);
      }
    }
  }

  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<EscapedMessage>(format_);
  }

 private:
  LogFormat format_;
};

void LogForGrpc(gpr_log_func_args* args) { spdlog::debug("grpc: {}", args->message); }

void LogForProtobuf(google::protobuf::LogLevel, const char*, int, const std::string& message) {
  spdlog::debug("protobuf: {}", message);
}

}  // namespace

void ConfigureLog(const std::string& program, const std::string& level, LogFormat format) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<EscapedMessage>(kEscapedMessage, format);
  formatter->set_pattern(format == LogFormat::kJson
                             ? fmt::format(R"({{"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",)"
                                           R"("program":"{}","message":"%*"}})",
                                           program)
                             : fmt::format("%Y-%m-%d %H:%M:%S.%e %L {}: %*", program));
  auto logger =
      std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(std::move(formatter));
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  gpr_set_log_function(&LogForGrpc);
  google::protobuf::SetLogHandler(&LogForProtobuf);
}

}  // namespace phalanx
