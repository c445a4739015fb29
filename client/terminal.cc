#include "client/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace phalanx {

std::string Coloured(std::string_view text, Colour colour, std::FILE* stream) {
  if (isatty(fileno(stream)) == 0 || std::getenv("NO_COLOR") != nullptr) return std::string(text);
  const int code = colour == Colour::kPrompt ? 36 : 2;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

void PrintNow(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void PrintSpeed(const StreamedAnswer& answer) {
  const std::string line =
      fmt::format("{} tokens, first after {:.1f} ms, {:.1f} tokens/s", answer.num_tokens(),
                  answer.ttft_ms(), answer.decode_tokens_per_s());
  fmt::print(stderr, "{}\n", Coloured(line, Colour::kDim, stderr));
}

}  // namespace phalanx
