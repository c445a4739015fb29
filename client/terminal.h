// Colours where a person looks, plain text elsewhere.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "client/streamed_answer.h"

namespace phalanx {

// Opens those of the first three descriptors that are closed: a socket would take their place, and
// what is printed would go to the server.
void OpenStandardStreams();

enum class Colour { kPrompt, kDim };

// `text` in the colour where `stream` is a terminal and NO_COLOR is not set; else as it is.
std::string Coloured(std::string_view text, Colour colour, std::FILE* stream);

// Whether a person types what `stream` reads, or sees what it prints.
bool IsTerminal(std::FILE* stream);

// Print to standard output, to standard output at once, and a line to standard error. Unlike
// fmt::print they do not throw where nothing can be written; main looks at standard output when all
// is done.
void Print(std::string_view text);
void PrintNow(std::string_view text);
void PrintError(std::string_view line);

// "12 tokens, first after 8.1 ms, 240.3 tokens/s" to standard error, without what is not known, and
// with the limit or the Ctrl-C that ended the answer.
void PrintSpeed(const StreamedAnswer& answer);

}  // namespace phalanx
