#include "text/jinja/brace_format.h"

#include <algorithm>
#include <utility>

#include "text/jinja/attributes.h"
#include "text/jinja/error.h"
#include "text/jinja/number_format.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace phalanx::jinja {
namespace {

bool IsNumber(std::string_view text) {
  return !text.empty() && text.size() < 10 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

class Formatter {
 public:
  Formatter(const Value& format, const Arguments& arguments)
      : is_markup_(format.is_markup()), arguments_(arguments) {}

  // Specifications may hold replacement fields, but theirs may not.
  std::string Expand(std::string_view text, int nesting) {
    if (nesting < 0) Throw(ErrorKind::kValue, "max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < text.size(); ++at) {
      const char c = text[at];
      const bool is_doubled = at + 1 < text.size() && text[at + 1] == c;
      if (c != '{' && c != '}') {
        out.push_back(c);
      } else if (is_doubled) {
        out.push_back(c);
        ++at;
      } else if (c == '}') {
        Throw(ErrorKind::kValue, "single '}}' encountered in format string");
      } else {
        const size_t end = FieldEnd(text, at + 1);
        out += Field(text.substr(at + 1, end - at - 1), nesting);
        at = end;
      }
      if (out.size() > kMaxStringBytes) {
        Throw(ErrorKind::kLimit, "a string has more than {} bytes", kMaxStringBytes);
      }
    }
    return out;
  }

 private:
  static size_t FieldEnd(std::string_view text, size_t at) {
    int open = 1;
    bool in_index = false;
    for (; at < text.size(); ++at) {
      const char c = text[at];
      if (c == '[') in_index = true;
      if (c == ']') in_index = false;
      if (in_index && open == 1) continue;
      if (c == '{') ++open;
      if (c == '}' && --open == 0) return at;
    }
    Throw(ErrorKind::kValue, "expected '}}' before end of string");
  }

  std::string Field(std::string_view field, int nesting) {
    const size_t name_end = NameEnd(field);
    std::string_view rest = field.substr(name_end);
    Value value = Find(field.substr(0, name_end));
    if (rest.starts_with('!')) {
      if (rest.size() < 2) Throw(ErrorKind::kValue, "end of string while looking for conversion");
      const char conversion = rest[1];
      rest.remove_prefix(2);
      if (!rest.empty() && rest[0] != ':') {
        Throw(ErrorKind::kValue, "expected ':' after conversion specifier");
      }
      value = Convert(value, conversion);
    }
    const std::string spec = rest.empty() ? "" : Expand(rest.substr(1), nesting - 1);
    const std::string text = Format(value, spec);
    return is_markup_ && !value.is_markup() ? EscapeHtml(text) : text;
  }

  static size_t NameEnd(std::string_view field) {
    bool in_index = false;
    for (size_t i = 0; i < field.size(); ++i) {
      if (field[i] == '[') in_index = true;
      if (field[i] == ']') in_index = false;
      if (!in_index && (field[i] == '!' || field[i] == ':')) return i;
      if (!in_index && field[i] == '{') {
        Throw(ErrorKind::kValue, "unexpected '{{' in field name");
      }
    }
    return field.size();
  }

  static Value Convert(const Value& value, char conversion) {
    if (conversion == 's') return Value::String(ToText(value));
    if (conversion == 'r' || conversion == 'a') return Value::String(Repr(value));
    Throw(ErrorKind::kValue, "unknown conversion specifier '{}'", conversion);
  }

  Value Find(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    Value value = First(name.substr(0, first_end));
    for (std::string_view rest = name.substr(first_end); !rest.empty();) {
      if (rest[0] == '.') {
        const size_t end = std::min(rest.find_first_of(".[", 1), rest.size());
        if (end == 1) Throw(ErrorKind::kValue, "empty attribute in format string");
        value = GetAttribute(value, Value::String(std::string(rest.substr(1, end - 1))));
        rest.remove_prefix(end);
      } else if (rest[0] == '[') {
        const size_t end = rest.find(']');
        if (end == std::string_view::npos) Throw(ErrorKind::kValue, "missing ']' in format string");
        const std::string_view key = rest.substr(1, end - 1);
        if (key.empty()) Throw(ErrorKind::kValue, "empty attribute in format string");
        value = GetItem(value, IsNumber(key) ? Value::Int(std::stoll(std::string(key)))
                                             : Value::String(std::string(key)));
        rest.remove_prefix(end + 1);
      } else {
        Throw(ErrorKind::kValue, "only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Value First(std::string_view name) {
    if (name.empty() || IsNumber(name)) {
      const Numbering numbering = name.empty() ? Numbering::kAutomatic : Numbering::kManual;
      if (numbering_ != Numbering::kNone && numbering_ != numbering) {
        Throw(ErrorKind::kValue, "cannot switch between automatic and manual field numbering");
      }
      numbering_ = numbering;
      const size_t index = name.empty() ? next_++ : std::stoul(std::string(name));
      if (index >= arguments_.positional.size()) {
        Throw(ErrorKind::kValue, "replacement index {} out of range", index);
      }
      return arguments_.positional[index];
    }
    for (const Keyword& keyword : arguments_.keywords) {
      if (keyword.name == name) return keyword.value;
    }
    Throw(ErrorKind::kValue, "no argument for the replacement field '{}'", name);
  }

  static std::string Format(const Value& value, const std::string& text) {
    if (value.is_markup() && !text.empty()) {
      Throw(ErrorKind::kValue, "unsupported format specification for Markup");
    }
    if (text.empty()) return ToText(value);
    const FormatSpec spec = ParseFormatSpec(text);
    if (value.IsString()) return FormatText(value.str(), spec);
    const bool is_float_type =
        std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
    if (value.Is(Type::kFloat) || (value.IsInteger() && spec.type != '\0' && is_float_type)) {
      return FormatFloat(ToDouble(value), spec);
    }
    if (value.IsInteger()) return FormatInteger(value, spec);
    Throw(ErrorKind::kType, "unsupported format string passed to {}", TypeName(value));
  }

  enum class Numbering { kNone, kAutomatic, kManual };

  bool is_markup_;
  const Arguments& arguments_;
  Numbering numbering_ = Numbering::kNone;
  size_t next_ = 0;
};

}  // namespace

Value BraceFormat(const Value& format, const Arguments& arguments) {
  std::string text = Formatter(format, arguments).Expand(format.str(), 1);
  return Value::String(std::move(text), format.is_markup() ? Markup::kYes : Markup::kNo);
}

}  // namespace phalanx::jinja
