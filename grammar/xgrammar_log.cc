#include "grammar/xgrammar_log.h"

#include <stdexcept>

namespace phalanx {
namespace {

// The library's hooks are free functions: there is no other way to tell them whose call they serve.
thread_local XGrammarWarnings* collector = nullptr;

}  // namespace

XGrammarWarnings::XGrammarWarnings() { collector = this; }
XGrammarWarnings::~XGrammarWarnings() { collector = nullptr; }

void XGrammarWarnings::Add(const std::string& message) {
  if (first_.empty()) first_ = message;
}

}  // namespace phalanx

// The library declares these and leaves their definition to the program.
namespace xgrammar {

[[noreturn]] void LogFatalImpl(const std::string& /*file*/, int /*line*/,
                               const std::string& message);
[[noreturn]] void LogFatalImpl(const std::string& /*file*/, int /*line*/,
                               const std::string& message) {
  throw std::runtime_error(message);
}

void LogMessageImpl(const std::string& file, int line, int level, const std::string& message);
void LogMessageImpl(const std::string& /*file*/, int /*line*/, int level,
                    const std::string& message) {
  constexpr int kWarning = 2;
  if (phalanx::collector != nullptr && level >= kWarning) phalanx::collector->Add(message);
}

}  // namespace xgrammar
