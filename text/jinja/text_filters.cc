// The filters whose input is text.
#include <algorithm>
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"
#include "text/jinja/print.h"
#include "text/jinja/printf_format.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {
namespace {

// The text with its markup, of anything.
Value SoftText(const Value& value) {
  return value.IsString() ? value : Value::String(ToText(value));
}

Value Like(const Value& value, std::string text) {
  return Value::String(std::move(text), value.is_markup() ? Markup::kYes : Markup::kNo);
}

template <std::string (*convert)(std::string_view)>
Value Converted(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("the filter", arguments, {});
  return Like(input, convert(ToText(input)));
}

bool StartsWord(char32_t c) {
  return IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

Value Title(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("title", arguments, {});
  const std::string text = ToText(input);
  const CodePoints points(text);
  std::string out;
  for (size_t i = 0; i < points.size();) {
    size_t end = i;
    while (end < points.size() && StartsWord(Decode(points[end])[0])) out += points[end++];
    if (end < points.size()) out += ToUpper(points[end++]);
    std::string rest;
    while (end < points.size() && !StartsWord(Decode(points[end])[0])) rest += points[end++];
    out += ToLower(rest);
    i = end;
  }
  return Value::String(std::move(out));
}

Value Trim(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("trim", arguments, {"chars"});
  std::string buffer;
  const std::string_view text = TextOf(input, &buffer);
  return Like(input, std::string(Strip(text, Side::kBoth, parameters.OptionalText(0))));
}

Value ReplaceText(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("replace", arguments, {"old", "new", "count"}, 2);
  const int64_t count = parameters.HasAndIsNotNone(2) ? parameters.IntOr(2, -1) : -1;
  return Value::String(Replace(ToText(input), ToText(parameters[0]), ToText(parameters[1]), count));
}

Value Center(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("center", arguments, {"width"});
  return Like(input, Pad(ToText(input), parameters.IntOr(0, 80), " ", Align::kCenter));
}

Value Indent(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("indent", arguments, {"width", "first", "blank"});
  if (!input.IsString()) {
    if (input.IsUndefined()) ThrowUndefined(input);
    Throw(ErrorKind::kType, "indent takes a string, not '{}'", TypeName(input));
  }
  const Value width = parameters.ValueOr(0, Value::Int(4));
  const std::string indention =
      width.IsString()
          ? width.str()
          : Pad("", std::max<int64_t>(ToIndex(width, "the width"), 0), " ", Align::kLeft);
  const bool indents_blank = parameters.IsTrueAt(2);
  std::string out = parameters.IsTrueAt(1) ? indention : "";
  const std::string text = input.str() + "\n";
  bool is_first = true;
  for (const std::string_view line : SplitLines(text, LineEnds::kDrop)) {
    if (!is_first) {
      out.push_back('\n');
      if (indents_blank || !line.empty()) out += indention;
    }
    is_first = false;
    out += line;
    if (out.size() > kMaxStringBytes) {
      Throw(ErrorKind::kLimit, "a string has more than {} bytes", kMaxStringBytes);
    }
  }
  return Like(input, std::move(out));
}

Value Truncate(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t length = parameters.IntOr(0, 255);
  const Value end = parameters.ValueOr(2, Value::String("..."));
  const int64_t leeway = parameters.HasAndIsNotNone(3) ? parameters.IntOr(3, 0) : 5;
  const int64_t end_length = LengthOf(end);
  if (length < end_length) {
    Throw(ErrorKind::kValue, "truncate: expected length >= {}, got {}", end_length, length);
  }
  if (leeway < 0) Throw(ErrorKind::kValue, "truncate: expected leeway >= 0, got {}", leeway);
  if (LengthOf(input) <= length + leeway) return input;
  if (!input.IsString()) {
    Throw(ErrorKind::kType, "truncate takes a string, not '{}'", TypeName(input));
  }
  std::string kept = SliceCodePoints(input.str(), 0, length - end_length);
  if (!parameters.IsTrueAt(1)) kept = kept.substr(0, kept.rfind(' '));
  return Binary(BinaryOp::kAdd, Like(input, std::move(kept)), end);
}

Value WordCount(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("wordcount", arguments, {});
  int64_t count = 0;
  bool in_word = false;
  for (const char32_t point : Decode(ToText(input))) {
    const bool is_word = IsWord(point);
    if (is_word && !in_word) ++count;
    in_word = is_word;
  }
  return Value::Int(count);
}

Value Escape(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("escape", arguments, {});
  if (input.is_markup()) return input;
  return Value::String(EscapeHtml(ToText(input)), Markup::kYes);
}

Value ForceEscape(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("forceescape", arguments, {});
  if (input.is_markup()) return Value::String(EscapeHtml(input.str()), Markup::kYes);
  return Value::String(EscapeHtml(ToText(input)), Markup::kYes);
}

Value Safe(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("safe", arguments, {});
  return Value::String(ToText(input), Markup::kYes);
}

Value String(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("string", arguments, {});
  return SoftText(input);
}

Value FormatText(Interpreter&, const Value& input, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keywords.empty()) {
    Throw(ErrorKind::kType, "format takes positional or keyword arguments, not both");
  }
  if (arguments.keywords.empty()) {
    return PrintfFormat(SoftText(input), Value::Tuple(arguments.positional));
  }
  Dict dict;
  for (const Keyword& keyword : arguments.keywords) dict.Set(keyword.name, keyword.value);
  return PrintfFormat(SoftText(input), Value::FromDict(std::move(dict)));
}

// Percent-encoding of everything but letters, digits, _.-~ and `safe`.
std::string Quote(const Value& value, std::string_view safe) {
  std::string out;
  for (const char c : ToText(value)) {
    const bool is_plain = IsAlphanumeric(static_cast<unsigned char>(c)) && (c & 0x80) == 0;
    if (is_plain || std::string_view("_.-~").find(c) != std::string_view::npos ||
        safe.find(c) != std::string_view::npos) {
      out.push_back(c);
    } else if (c == ' ' && safe.empty()) {
      out.push_back('+');
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Value UrlEncode(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("urlencode", arguments, {});
  if (input.IsString()) return Value::String(Quote(input, "/"));
  std::vector<Value> pairs;
  if (input.Is(Type::kDict)) {
    for (const Dict::Entry& entry : input.dict().entries()) {
      pairs.push_back(Value::Tuple({entry.key, entry.value}));
    }
  } else if (TryIterate(input) != nullptr) {
    pairs = ToList(input);
  } else {
    return Value::String(Quote(input, "/"));
  }
  std::string out;
  for (const Value& pair : pairs) {
    const Values parts = ToList(pair);
    if (parts.size() != 2) Throw(ErrorKind::kValue, "urlencode takes pairs");
    if (!out.empty()) out.push_back('&');
    out += Quote(parts[0], "") + "=" + Quote(parts[1], "");
  }
  return Value::String(std::move(out));
}

// The entities that escaping writes, and numeric ones.
std::string UnescapeHtml(std::string_view text) {
  std::string out = Replace(text, "&lt;", "<", -1);
  out = Replace(out, "&gt;", ">", -1);
  out = Replace(out, "&#39;", "'", -1);
  out = Replace(out, "&#34;", "\"", -1);
  out = Replace(out, "&quot;", "\"", -1);
  return Replace(out, "&amp;", "&", -1);
}

Value StripTags(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("striptags", arguments, {});
  const std::string text = ToText(input);
  std::string kept;
  size_t at = 0;
  for (size_t begin; (begin = text.find('<', at)) != std::string::npos;) {
    const bool is_comment = text.compare(begin, 4, "<!--") == 0;
    const size_t end = is_comment ? text.find("-->", begin + 4) : text.find('>', begin);
    if (end == std::string::npos) break;
    kept += text.substr(at, begin - at);
    at = end + (is_comment ? 3 : 1);
  }
  kept += text.substr(at);
  std::string out;
  for (const std::string_view word : Split(kept, std::nullopt, -1)) {
    if (!out.empty()) out.push_back(' ');
    out += word;
  }
  return Value::String(UnescapeHtml(out));
}

constexpr FilterEntry kFilters[] = {
    {"upper", Converted<ToUpper>},
    {"lower", Converted<ToLower>},
    {"capitalize", Converted<Capitalize>},
    {"title", Title},
    {"trim", Trim},
    {"replace", ReplaceText},
    {"center", Center},
    {"indent", Indent},
    {"truncate", Truncate},
    {"wordcount", WordCount},
    {"escape", Escape},
    {"e", Escape},
    {"forceescape", ForceEscape},
    {"safe", Safe},
    {"string", String},
    {"format", FormatText},
    {"urlencode", UrlEncode},
    {"striptags", StripTags},
};

}  // namespace

std::span<const FilterEntry> TextFilters() { return kFilters; }

}  // namespace phalanx::jinja
