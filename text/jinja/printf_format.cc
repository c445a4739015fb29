#include "text/jinja/printf_format.h"

#include <algorithm>
#include <utility>

#include "text/jinja/arithmetic.h"
#include "text/jinja/big_int.h"
#include "text/jinja/error.h"
#include "text/jinja/number_format.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/python_text.h"
#include "text/utf8.h"

namespace phalanx::jinja {
namespace {

struct Conversion {
  bool is_left = false;
  bool has_zeros = false;
  bool is_alternate = false;
  char sign = '-';
  int64_t width = 0;
  std::optional<int64_t> precision;
  char type = '\0';
};

class Formatter {
 public:
  Formatter(const Value& format, const Value& arguments)
      : format_(format),
        text_(format.str()),
        arguments_(arguments),
        is_mapping_(arguments.Is(Type::kDict) || arguments.Is(Type::kList) ||
                    arguments.IsUndefined()) {}

  Value Run() {
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c != '%') {
        out_.push_back(c);
      } else {
        Convert();
      }
      if (out_.size() > kMaxStringBytes) {
        Throw(ErrorKind::kLimit, "a string has more than {} bytes", kMaxStringBytes);
      }
    }
    const size_t given = arguments_.Is(Type::kTuple) ? arguments_.items().size() : 1;
    if (next_ < given && !is_mapping_) {
      Throw(ErrorKind::kType, "not all arguments converted during string formatting");
    }
    return Value::String(std::move(out_), format_.is_markup() ? Markup::kYes : Markup::kNo);
  }

 private:
  char Take() {
    if (at_ >= text_.size()) Throw(ErrorKind::kValue, "incomplete format");
    return text_[at_++];
  }

  Value NextArgument() {
    if (named_) return *std::exchange(named_, std::nullopt);
    if (arguments_.Is(Type::kTuple)) {
      if (next_ < arguments_.items().size()) return arguments_.items()[next_++];
    } else if (next_ == 0) {
      ++next_;
      return arguments_;
    }
    Throw(ErrorKind::kType, "not enough arguments for format string");
  }

  void TakeName() {
    if (!arguments_.Is(Type::kDict)) Throw(ErrorKind::kType, "format requires a mapping");
    std::string name;
    for (int open = 1;;) {
      const char c = Take();
      if (c == '(') ++open;
      if (c == ')' && --open == 0) break;
      name.push_back(c);
    }
    const Value* value = arguments_.dict().Find(name);
    if (value == nullptr) Throw(ErrorKind::kValue, "no value for the format key '{}'", name);
    named_ = *value;
  }

  bool TakeFlag(Conversion* conversion, char c) {
    switch (c) {
      case '-':
        conversion->is_left = true;
        return true;
      case '+':
        conversion->sign = '+';
        return true;
      case ' ':
        if (conversion->sign == '-') conversion->sign = ' ';
        return true;
      case '#':
        conversion->is_alternate = true;
        return true;
      case '0':
        conversion->has_zeros = true;
        return true;
      default:
        return false;
    }
  }

  // A number in the format, or * for one of the arguments.
  int64_t TakeSize(char* c) {
    if (*c == '*') {
      const Value argument = NextArgument();
      if (!argument.IsInteger()) Throw(ErrorKind::kType, "* wants int");
      *c = Take();
      const int64_t size = ToIndex(argument, "a width");
      if (size > static_cast<int64_t>(kMaxStringBytes)) {
        Throw(ErrorKind::kLimit, "a format's width is too large");
      }
      return size;
    }
    int64_t size = 0;
    for (; *c >= '0' && *c <= '9'; *c = Take()) {
      size = size * 10 + (*c - '0');
      if (size > static_cast<int64_t>(kMaxStringBytes)) {
        Throw(ErrorKind::kLimit, "a format's width is too large");
      }
    }
    return size;
  }

  void Convert() {
    Conversion conversion;
    char c = Take();
    if (c == '(') {
      TakeName();
      c = Take();
    }
    while (TakeFlag(&conversion, c)) c = Take();
    conversion.width = TakeSize(&c);
    if (conversion.width < 0) {
      conversion.is_left = true;
      conversion.width = -std::max(conversion.width, -static_cast<int64_t>(kMaxStringBytes));
    }
    if (c == '.') {
      c = Take();
      conversion.precision = std::max<int64_t>(TakeSize(&c), 0);
    }
    if (c == 'h' || c == 'l' || c == 'L') c = Take();
    if (c == '%') {
      out_.push_back('%');
      return;
    }
    conversion.type = c;
    out_ += Convert(conversion, NextArgument());
  }

  std::string Convert(const Conversion& conversion, const Value& value) const {
    FormatSpec spec;
    spec.width = conversion.width;
    spec.precision = conversion.precision;
    spec.align = conversion.is_left ? '<' : '>';
    switch (conversion.type) {
      case 's':
      case 'r':
      case 'a': {
        std::string text = conversion.type == 's' ? ToText(value) : Repr(value);
        const bool escapes = format_.is_markup() && !(conversion.type == 's' && value.is_markup());
        if (escapes) text = EscapeHtml(text);
        return FormatText(text, spec);
      }
      case 'c': {
        spec.precision.reset();
        if (value.IsString() && CountCodePoints(value.str()) == 1) {
          return FormatText(value.str(), spec);
        }
        if (!value.IsInteger()) Throw(ErrorKind::kType, "%c requires int or char");
        spec.type = 'c';
        return FormatInteger(value, spec);
      }
      default:
        break;
    }
    spec.sign = conversion.sign;
    spec.is_alternate = conversion.is_alternate;
    spec.type = conversion.type;
    if (conversion.has_zeros && !conversion.is_left) {
      spec.fill = std::string("0");
      spec.align = '=';
    }
    return ConvertNumber(spec, value);
  }

  static std::string ConvertNumber(FormatSpec spec, const Value& value) {
    if (value.IsUndefined()) ThrowUndefined(value);
    switch (spec.type) {
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o': {
        if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
        if (!value.IsNumber() || (spec.type != 'd' && !value.IsInteger())) {
          Throw(ErrorKind::kType, "%{} format: a number is required, not {}", spec.type,
                TypeName(value));
        }
        const int64_t digits = std::exchange(spec.precision, std::nullopt).value_or(0);
        if (digits == 0) return FormatInteger(Truncated(value), spec);
        // The precision is the least number of digits.
        FormatSpec inner = spec;
        const bool is_negative = ToDouble(value) < 0;
        inner.fill = std::string("0");
        inner.align = '=';
        inner.width = digits + (is_negative || spec.sign != '-' ? 1 : 0) +
                      (spec.is_alternate && spec.type != 'd' ? 2 : 0);
        const std::string number = FormatInteger(Truncated(value), inner);
        FormatSpec outer;
        outer.width = spec.width;
        outer.align = spec.align == '=' ? '>' : spec.align;
        if (spec.align == '=' && static_cast<int64_t>(number.size()) < spec.width) {
          inner.width = spec.width;
          return FormatInteger(Truncated(value), inner);
        }
        return FormatText(number, outer);
      }
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (!value.IsNumber()) {
          Throw(ErrorKind::kType, "must be real number, not {}", TypeName(value));
        }
        return FormatFloat(ToDouble(value), spec);
      default:
        Throw(ErrorKind::kValue, "unsupported format character '{}'", spec.type);
    }
  }

  const Value& format_;
  const std::string& text_;
  const Value& arguments_;
  bool is_mapping_;
  size_t at_ = 0;
  size_t next_ = 0;
  std::optional<Value> named_;
  std::string out_;
};

}  // namespace

Value PrintfFormat(const Value& format, const Value& arguments) {
  return Formatter(format, arguments).Run();
}

}  // namespace phalanx::jinja
