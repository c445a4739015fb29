#include "client/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace phalanx {

void OpenStandardStreams() {
  int descriptor = -1;
  do {
    descriptor = open("/dev/null", O_RDWR);
  } while (descriptor >= 0 && descriptor <= STDERR_FILENO);
  if (descriptor >= 0) close(descriptor);
}

bool IsTerminal(std::FILE* stream) { return isatty(fileno(stream)) != 0; }

std::string Coloured(std::string_view text, Colour colour, std::FILE* stream) {
  if (!IsTerminal(stream) || std::getenv("NO_COLOR") != nullptr) return std::string(text);
  const int code = colour == Colour::kPrompt ? 36 : 2;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void PrintNow(std::string_view text) {
  Print(text);
  std::fflush(stdout);
}

void PrintError(std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fputc('\n', stderr);
}

void PrintSpeed(const StreamedAnswer& answer) {
  std::string line = fmt::format("{} tokens", answer.num_tokens());
  if (!answer.arrivals.empty()) line += fmt::format(", first after {:.1f} ms", answer.ttft_ms());
  const double rate = answer.decode_tokens_per_s().value_or(answer.received_tokens_per_s());
  if (rate > 0) line += fmt::format(", {:.1f} tokens/s", rate);
  if (!answer.status.ok()) line += ", stopped";
  const auto& choices = answer.response.choices();
  if (!choices.empty() && choices[0].finish_reason() == v1::FINISH_REASON_LENGTH)
    line += ", ended by the token limit";
  PrintError(Coloured(line, Colour::kDim, stderr));
}

}  // namespace phalanx
