#include "text/jinja/string_literal.h"

#include <fmt/format.h>

#include "text/utf8.h"

namespace phalanx::jinja {
namespace {

constexpr uint32_t kNoDigit = 99;

uint32_t HexDigit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0');
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? static_cast<uint32_t>(lower - 'a' + 10) : kNoDigit;
}

// What \a, \n and so on stand for; '\0' for none of them.
char SimpleEscape(char c) {
  switch (c) {
    case '\\':
    case '\'':
    case '"':
      return c;
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return '\0';
  }
}

class Unescaper {
 public:
  explicit Unescaper(std::string_view literal) : literal_(literal) {}

  bool Run() {
    while (at_ < literal_.size()) {
      const char c = literal_[at_++];
      if (c != '\\') {
        out_.push_back(c);
      } else if (at_ == literal_.size()) {
        return Fail("\\ at end of string");
      } else if (!Escape()) {
        return false;
      }
    }
    return true;
  }

  std::string& out() { return out_; }
  std::string& error() { return error_; }

 private:
  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }

  bool Escape() {
    const char c = literal_[at_];
    if (c == '\n') {  // a line that goes on
      ++at_;
      return true;
    }
    if (c >= '0' && c <= '7') return Octal();
    if (c == 'x') return Hexadecimal(2);
    if (c == 'u') return Hexadecimal(4);
    if (c == 'U') return Hexadecimal(8);
    if (c == 'N') return Fail("\\N escapes are not supported");
    if (static_cast<unsigned char>(c) >= 0x80) return BeforeNonAscii();
    ++at_;
    if (const char simple = SimpleEscape(c); simple != '\0') {
      out_.push_back(simple);
    } else {
      out_.push_back('\\');
      out_.push_back(c);
    }
    return true;
  }

  // Jinja spells other characters as escapes before it decodes them, so that a backslash in front
  // of one leaves its escape.
  bool BeforeNonAscii() {
    const CodePoint point = DecodeCodePoint(literal_.data() + at_);
    at_ += point.length_bytes;
    if (point.value < 0x100) {
      out_ += fmt::format("\\x{:02x}", point.value);
    } else if (point.value < 0x10000) {
      out_ += fmt::format("\\u{:04x}", point.value);
    } else {
      out_ += fmt::format("\\U{:08x}", point.value);
    }
    return true;
  }

  bool Octal() {
    uint32_t value = 0;
    for (int i = 0; i < 3 && at_ < literal_.size(); ++i) {
      const char c = literal_[at_];
      if (c < '0' || c > '7') break;
      value = value * 8 + static_cast<uint32_t>(c - '0');
      ++at_;
    }
    AppendCodePoint(value, &out_);
    return true;
  }

  bool Hexadecimal(size_t digits) {
    const char letter = literal_[at_++];
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      const uint32_t digit = at_ < literal_.size() ? HexDigit(literal_[at_]) : kNoDigit;
      if (digit == kNoDigit) return Fail(fmt::format("truncated \\{} escape", letter));
      value = value * 16 + digit;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      return Fail(fmt::format("\\{} escape is no character", letter));
    }
    AppendCodePoint(value, &out_);
    return true;
  }

  std::string_view literal_;
  size_t at_ = 0;
  std::string out_;
  std::string error_;
};

}  // namespace

std::optional<std::string> Unescape(std::string_view literal, std::string* error) {
  Unescaper unescaper(literal);
  if (!unescaper.Run()) {
    *error = std::move(unescaper.error());
    return std::nullopt;
  }
  return std::move(unescaper.out());
}

}  // namespace phalanx::jinja
