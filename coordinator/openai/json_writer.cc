#include "coordinator/openai/json_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>

#include "text/utf8.h"

namespace phalanx::openai {
namespace {

constexpr std::array<bool, 256> MakeNeedsEscape() {
  std::array<bool, 256> table{};
  for (size_t byte = 0; byte < 0x20; ++byte) table[byte] = true;
  table['"'] = true;
  table['\\'] = true;
  return table;
}

constexpr std::array<bool, 256> kNeedsEscape = MakeNeedsEscape();

void AppendEscape(char c, std::string* out) {
  switch (c) {
    case '"':
      *out += "\\\"";
      return;
    case '\\':
      *out += "\\\\";
      return;
    case '\n':
      *out += "\\n";
      return;
    case '\r':
      *out += "\\r";
      return;
    case '\t':
      *out += "\\t";
      return;
    default:
      fmt::format_to(std::back_inserter(*out), "\\u{:04x}", static_cast<unsigned char>(c));
  }
}

}  // namespace

void AppendEscaped(std::string_view text, std::string* out) {
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!kNeedsEscape[static_cast<unsigned char>(text[i])]) continue;
    out->append(text, begin, i - begin);
    AppendEscape(text[i], out);
    begin = i + 1;
  }
  out->append(text, begin, text.size() - begin);
}

void AppendJsonString(std::string_view text, std::string* out) {
  *out += '"';
  if (FindInvalidUtf8(text)) {
    std::string repaired;
    AppendLossyUtf8(text, &repaired);
    AppendEscaped(repaired, out);
  } else {
    AppendEscaped(text, out);
  }
  *out += '"';
}

void AppendInt(int64_t value, std::string* out) {
  const fmt::format_int digits(value);
  out->append(digits.data(), digits.size());
}

void AppendLogprob(float value, std::string* out) {
  constexpr float kLowest = -9999.0F;
  constexpr float kHighest = std::numeric_limits<float>::max();  // JSON has no infinity
  const size_t begin = out->size();
  fmt::format_to(std::back_inserter(*out), "{}",
                 value > kLowest ? std::min(value, kHighest) : kLowest);
  // Readers tell floats from integers by the point.
  if (out->find_first_of(".e", begin) == std::string::npos) *out += ".0";
}

void AppendInts(std::span<const int32_t> values, std::string* out) {
  *out += '[';
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) *out += ',';
    AppendInt(values[i], out);
  }
  *out += ']';
}

void AppendByteList(std::string_view bytes, std::string* out) {
  *out += '[';
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) *out += ',';
    AppendInt(static_cast<unsigned char>(bytes[i]), out);
  }
  *out += ']';
}

}  // namespace phalanx::openai
