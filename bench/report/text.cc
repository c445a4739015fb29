#include "bench/report/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

namespace phalanx::report {
namespace {

// Bytes of the UTF-8 character that `text` begins with; 0 where it begins with none.
size_t CharacterBytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xC2 && first < 0xE0   ? 2
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool is_overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool is_outside = (first == 0xED && byte(1) >= 0xA0) || (first == 0xF4 && byte(1) >= 0x90);
  return is_overlong || is_outside ? 0 : length;
}

}  // namespace

std::string CleanText(std::string_view text, size_t max_bytes, Lines lines) {
  std::string clean;
  for (size_t i = 0; i < text.size();) {
    const size_t length = CharacterBytes(text.substr(i));
    if (clean.size() + std::max<size_t>(length, 1) > max_bytes) {
      return clean + fmt::format("... ({} bytes more)", text.size() - i);
    }
    const auto c = static_cast<unsigned char>(text[i]);
    if (length == 0) {
      clean += "\xEF\xBF\xBD";
    } else if (c == '\n' && lines == Lines::kKept) {
      clean += '\n';
    } else if (c < 0x20 || c == 0x7F) {
      clean += ' ';
    } else {
      clean += text.substr(i, length);
    }
    i += std::max<size_t>(length, 1);
  }
  return clean;
}

std::string ShowNumber(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::abs(value);
  if (size >= 1e15) return fmt::format("{:.3e}", value);
  if (size < 99.95 && size != std::floor(size)) {
    if (size >= 9.995) return fmt::format("{:.1f}", value);
    return size >= 1 ? fmt::format("{:.2f}", value) : fmt::format("{:.3g}", value);
  }
  std::string digits = fmt::format("{:.0f}", size);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return value < 0 ? "-" + digits : digits;
}

std::string ShowNumber(std::optional<double> value) { return value ? ShowNumber(*value) : "-"; }

std::string ShowPercent(std::optional<double> fraction) {
  if (!fraction || !std::isfinite(*fraction * 100)) return "-";
  if (*fraction >= 100) return fmt::format("{:.3g} %", *fraction * 100);
  return fmt::format("{:.{}f} %", *fraction * 100, *fraction < 0.0995 ? 1 : 0);
}

std::string ShowBytes(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{:.4g} {}", bytes, kUnits[unit]);
}

std::optional<double> ShapeNumber(std::string_view shape, std::string_view key) {
  const std::string wanted = fmt::format(" {}=", key);
  const std::string padded = fmt::format(" {}", shape);
  const size_t at = padded.find(wanted);
  if (at == std::string::npos) return std::nullopt;
  double value = 0;
  const char* const begin = padded.data() + at + wanted.size();
  const auto [end, error] = std::from_chars(begin, padded.data() + padded.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

bool NamesSize(std::string_view text, std::string_view size) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  };
  for (auto from = text.begin();; ++from) {
    from = std::search(from, text.end(), size.begin(), size.end(), same);
    if (from == text.end()) return false;
    const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
    const bool begins = from == text.begin() || (!is_word(from[-1]) && from[-1] != '.');
    const auto after = from + static_cast<std::ptrdiff_t>(size.size());
    if (begins && (after == text.end() || !is_word(*after))) return true;
  }
}

}  // namespace phalanx::report
