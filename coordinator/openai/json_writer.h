// Writing JSON onto the end of a string: what runs for every streamed token builds no tree.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace phalanx::openai {

// `text` in quotes. Bytes that are no UTF-8 become U+FFFD.
void AppendJsonString(std::string_view text, std::string* out);
// `text`, which is UTF-8, without the quotes.
void AppendEscaped(std::string_view text, std::string* out);
void AppendInt(int64_t value, std::string* out);
// A log-probability; -9999 stands for what is lower, minus infinity included, as in vLLM.
void AppendLogprob(float value, std::string* out);
void AppendInts(std::span<const int32_t> values, std::string* out);
// The bytes as a list of numbers.
void AppendByteList(std::string_view bytes, std::string* out);

}  // namespace phalanx::openai
