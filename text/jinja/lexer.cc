#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "text/jinja/big_int.h"
#include "text/jinja/error.h"
#include "text/jinja/print.h"
#include "text/jinja/python_text.h"
#include "text/jinja/string_literal.h"
#include "text/utf8.h"

namespace phalanx::jinja {
namespace {

constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// \r\n and \r become \n; the last one is dropped.
std::string NormalizeNewlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
    } else {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(NormalizeNewlines(source)) {}

  std::vector<Token> Run() {
    while (at_ < source_.size()) LexRoot();
    tokens_.push_back({TokenKind::kEnd, line_, "", {}});
    return std::move(tokens_);
  }

 private:
  enum class Sign { kNone, kMinus, kPlus };

  [[noreturn]] void Fail(const std::string& message) const {
    TemplateError error(ErrorKind::kSyntax, message);
    error.SetLine(line_);
    throw error;
  }

  bool Matches(std::string_view text) const { return Rest().starts_with(text); }
  std::string_view Rest() const { return std::string_view(source_).substr(at_); }

  void Advance(size_t bytes) {
    line_ +=
        static_cast<int>(std::count(source_.begin() + static_cast<int64_t>(at_),
                                    source_.begin() + static_cast<int64_t>(at_ + bytes), '\n'));
    at_ += bytes;
    if (bytes > 0) line_starting_ = source_[at_ - 1] == '\n';
  }

  size_t SpaceAt(size_t at) const {
    const std::string_view rest = std::string_view(source_).substr(at);
    return rest.size() - Strip(rest, Side::kLeft).size();
  }
  void SkipSpace() { Advance(SpaceAt(at_)); }

  Sign SignAt(size_t at) const {
    if (at >= source_.size()) return Sign::kNone;
    if (source_[at] == '-') return Sign::kMinus;
    return source_[at] == '+' ? Sign::kPlus : Sign::kNone;
  }

  // The end of "{% raw %}" from `at` on; 0 where there is none.
  size_t RawBeginEnd(size_t at) const {
    size_t next = at + 2;
    if (SignAt(next) != Sign::kNone) ++next;
    next += SpaceAt(next);
    if (source_.compare(next, 3, "raw") != 0) return 0;
    next += 3;
    next += SpaceAt(next);
    if (source_.compare(next, 3, "-%}") == 0) return next + 3 + SpaceAt(next + 3);
    return source_.compare(next, 2, "%}") == 0 ? next + 2 : 0;
  }

  // Emits the text before a tag at `end`, which is stripped as the tag's sign says.
  void EmitData(size_t end, Sign sign, bool is_variable) {
    std::string_view text = std::string_view(source_).substr(at_, end - at_);
    if (sign == Sign::kMinus) {
      text = Strip(text, Side::kRight);
    } else if (sign == Sign::kNone && !is_variable) {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      const std::string_view last_line = text.substr(line_begin);
      const bool at_line_start = line_begin > 0 || line_starting_;
      if (at_line_start && Strip(last_line, Side::kLeft).empty()) text = text.substr(0, line_begin);
    }
    if (!text.empty()) tokens_.push_back({TokenKind::kData, line_, std::string(text), {}});
    Advance(end - at_);
  }

  void LexRoot() {
    size_t begin = at_;
    for (;; ++begin) {
      begin = source_.find('{', begin);
      if (begin == std::string::npos || begin + 1 >= source_.size()) {
        EmitData(source_.size(), Sign::kPlus, false);
        return;
      }
      const char next = source_[begin + 1];
      if (next == '{' || next == '%' || next == '#') break;
    }
    const char kind = source_[begin + 1];
    const Sign sign = SignAt(begin + 2);
    EmitData(begin, sign, kind == '{');
    const size_t raw_end = kind == '%' ? RawBeginEnd(begin) : 0;
    if (raw_end != 0) {
      Advance(raw_end - at_);
      LexRaw();
      return;
    }
    Advance(sign == Sign::kNone ? 2 : 3);
    if (kind == '#') {
      LexComment();
    } else {
      LexTag(kind == '%' ? "%}" : "}}");
    }
  }

  // Past the closing `end` of a comment, a block or raw, with its sign; the newline after it goes.
  bool SkipTrimmedEnd(std::string_view end) {
    const Sign sign = SignAt(at_);
    const size_t length = end.size() + (sign == Sign::kNone ? 0 : 1);
    if (source_.compare(at_ + length - end.size(), end.size(), end) != 0) return false;
    Advance(length);
    if (sign == Sign::kMinus) {
      SkipSpace();
    } else if (sign == Sign::kNone && Matches("\n")) {
      Advance(1);
    }
    return true;
  }

  void LexComment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) Fail("Missing end of comment tag");
    Advance(end - at_ - (end > at_ && SignAt(end - 1) != Sign::kNone ? 1 : 0));
    SkipTrimmedEnd("#}");
  }

  void LexRaw() {
    for (size_t begin = at_;; begin += 2) {
      begin = source_.find("{%", begin);
      if (begin == std::string::npos) Fail("Missing end of raw directive");
      const Sign sign = SignAt(begin + 2);
      size_t next = begin + (sign == Sign::kNone ? 2 : 3);
      next += SpaceAt(next);
      if (source_.compare(next, 6, "endraw") != 0) continue;
      next += 6;
      next += SpaceAt(next);
      const size_t name = next + (SignAt(next) == Sign::kNone ? 0 : 1);
      if (source_.compare(name, 2, "%}") != 0) continue;
      EmitData(begin, sign, false);
      Advance(next - begin);
      SkipTrimmedEnd("%}");
      return;
    }
  }

  void Emit(TokenKind kind, size_t bytes, std::string text) {
    tokens_.push_back({kind, line_, std::move(text), {}});
    Advance(bytes);
  }

  void LexTag(std::string_view end) {
    const bool is_block = end == "%}";
    Emit(is_block ? TokenKind::kBlockBegin : TokenKind::kVariableBegin, 0, "");
    open_.clear();
    while (at_ < source_.size()) {
      if (open_.empty() && LexTagEnd(end, is_block)) return;
      LexPart();
    }
    // The text ends inside a tag; the parser says what it misses.
  }

  bool LexTagEnd(std::string_view end, bool is_block) {
    const int line = line_;
    if (is_block) {
      if (!SkipTrimmedEnd(end)) return false;
    } else if (Matches("-}}")) {
      Advance(3);
      SkipSpace();
    } else if (Matches(end)) {
      Advance(2);
    } else {
      return false;
    }
    tokens_.push_back({is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, line, "", {}});
    return true;
  }

  void LexPart() {
    const size_t space = SpaceAt(at_);
    if (space > 0) return Advance(space);
    if (IsDigit(source_[at_])) return LexNumber();
    const char c = source_[at_];
    if (c == '\'' || c == '"') return LexString();
    if (const size_t length = NameBytes(); length > 0) {
      return Emit(TokenKind::kName, length, source_.substr(at_, length));
    }
    for (const std::string_view op : kOperators) {
      if (!Matches(op)) continue;
      Balance(op[0]);
      return Emit(TokenKind::kOperator, op.size(), std::string(op));
    }
    const size_t length = DecodeCodePoint(source_.data() + at_).length_bytes;
    Fail(fmt::format("unexpected char {} at {}", ReprText(Rest().substr(0, length)), at_));
  }

  void Balance(char bracket) {
    static constexpr std::string_view kOpen = "{([";
    static constexpr std::string_view kClose = "})]";
    if (const size_t i = kOpen.find(bracket); i != std::string_view::npos) {
      open_.push_back(kClose[i]);
    } else if (kClose.find(bracket) != std::string_view::npos) {
      if (open_.empty()) Fail(fmt::format("unexpected '{}'", bracket));
      if (open_.back() != bracket) {
        Fail(fmt::format("unexpected '{}', expected '{}'", bracket, open_.back()));
      }
      open_.pop_back();
    }
  }

  size_t NameBytes() const {
    size_t at = at_;
    while (at < source_.size()) {
      const CodePoint point = DecodeCodePoint(source_.data() + at);
      if (!IsWord(point.value)) break;
      at += point.length_bytes;
    }
    return at - at_;
  }

  // The length of digits from `at` on, single underscores between them.
  size_t DigitBytes(size_t at, bool (*is_digit)(char)) const {
    size_t end = at;
    while (end < source_.size()) {
      size_t next = end;
      if (end > at && source_[next] == '_') ++next;
      if (next >= source_.size() || !is_digit(source_[next])) break;
      end = next + 1;
    }
    return end - at;
  }

  // The length of a float at the position; 0 where there is none.
  size_t FloatBytes() const {
    if (at_ > 0 && source_[at_ - 1] == '.') return 0;
    size_t end = at_ + DigitBytes(at_, IsDigit);
    bool is_float = false;
    if (end < source_.size() && source_[end] == '.') {
      const size_t fraction = DigitBytes(end + 1, IsDigit);
      if (fraction > 0) {
        end += 1 + fraction;
        is_float = true;
      }
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const size_t sign = SignAt(end + 1) == Sign::kNone ? 0 : 1;
      const size_t exponent = DigitBytes(end + 1 + sign, IsDigit);
      if (exponent > 0) {
        end += 1 + sign + exponent;
        is_float = true;
      }
    }
    return is_float ? end - at_ : 0;
  }

  // The length of an integer, and its base.
  std::pair<size_t, uint32_t> IntegerBytes() const {
    const auto with_prefix = [this](bool (*is_digit)(char)) -> size_t {
      const size_t first = at_ + 2 + (at_ + 2 < source_.size() && source_[at_ + 2] == '_' ? 1 : 0);
      const size_t digits = DigitBytes(first, is_digit);
      return digits == 0 ? 0 : first + digits - at_;
    };
    if (source_[at_] != '0') return {DigitBytes(at_, IsDigit), 10};
    if (at_ + 1 < source_.size()) {
      size_t length = 0;
      switch (source_[at_ + 1] | 0x20) {
        case 'b':
          length = with_prefix([](char c) { return c == '0' || c == '1'; });
          if (length > 0) return {length, 2};
          break;
        case 'o':
          length = with_prefix([](char c) { return c >= '0' && c <= '7'; });
          if (length > 0) return {length, 8};
          break;
        case 'x':
          length = with_prefix(
              [](char c) { return IsDigit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); });
          if (length > 0) return {length, 16};
          break;
        default:
          break;
      }
    }
    return {DigitBytes(at_, [](char c) { return c == '0'; }), 10};
  }

  void LexNumber() {
    size_t length = FloatBytes();
    const bool is_float = length > 0;
    uint32_t base = 10;
    if (!is_float) std::tie(length, base) = IntegerBytes();
    std::string digits = source_.substr(at_, length);
    std::erase(digits, '_');
    Token token{is_float ? TokenKind::kFloat : TokenKind::kInteger, line_, digits, {}};
    if (is_float) {
      token.number = Value::Float(std::strtod(digits.c_str(), nullptr));
    } else {
      const auto value = BigInt::FromDigits(base == 10 ? digits : digits.substr(2), base);
      if (!value) Fail(fmt::format("an integer has more than {} digits", BigInt::kMaxDigits));
      token.number = Value::Int(*value);
    }
    tokens_.push_back(std::move(token));
    Advance(length);
  }

  void LexString() {
    const char quote = source_[at_];
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) Fail(fmt::format("unexpected char {} at {}", quote, at_));
    std::string error;
    auto value = Unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1), &error);
    if (!value) Fail(error);
    Emit(TokenKind::kString, end + 1 - at_, *std::move(value));
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string open_;  // the brackets that close what is open
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> Tokenize(std::string_view source) { return Lexer(source).Run(); }

std::string Describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "template data / text";
    case TokenKind::kVariableBegin:
      return "begin of print statement";
    case TokenKind::kVariableEnd:
      return "end of print statement";
    case TokenKind::kBlockBegin:
      return "begin of statement block";
    case TokenKind::kBlockEnd:
      return "end of statement block";
    case TokenKind::kString:
      return "string";
    case TokenKind::kInteger:
      return "integer";
    case TokenKind::kFloat:
      return "float";
    case TokenKind::kName:
    case TokenKind::kOperator:
      return token.text;
    case TokenKind::kEnd:
      return "end of template";
  }
  return "";
}

}  // namespace phalanx::jinja
