// Colours where a person looks, plain text elsewhere.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "client/streamed_answer.h"

namespace phalanx {

enum class Colour { kPrompt, kDim };

// `text` in the colour where `stream` is a terminal and NO_COLOR is not set; else as it is.
std::string Coloured(std::string_view text, Colour colour, std::FILE* stream);

// Prints text to standard output at once.
void PrintNow(std::string_view text);

// "12 tokens, first after 8.1 ms, 240.3 tokens/s" to standard error.
void PrintSpeed(const StreamedAnswer& answer);

}  // namespace phalanx
