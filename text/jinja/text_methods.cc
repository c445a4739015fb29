// The methods of str that give strings and lists of them.
#include <utility>

#include "text/jinja/attributes.h"
#include "text/jinja/brace_format.h"
#include "text/jinja/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"
#include "text/jinja/print.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {
namespace {

// A string of the receiver's own kind.
Value Like(const Value& self, std::string text) {
  return Value::String(std::move(text), self.is_markup() ? Markup::kYes : Markup::kNo);
}

// An argument of a Markup's method, which escapes it.
std::string Escaped(const Value& self, const Value& argument) {
  return self.is_markup() && !argument.is_markup() ? EscapeHtml(argument.str()) : argument.str();
}

Value ListOf(const Value& self, const std::vector<std::string_view>& parts) {
  Values items;
  for (const std::string_view part : parts) items.push_back(Like(self, std::string(part)));
  return Value::List(std::move(items));
}

template <std::string (*convert)(std::string_view)>
Value Converted(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("a string's method", arguments, {});
  return Like(self, convert(self.str()));
}

template <Side side>
Value Stripped(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("strip", arguments, {self.is_markup() ? "chars" : ""});
  return Like(self, std::string(Strip(self.str(), side, parameters.OptionalText(0))));
}

using SplitFunction = std::vector<std::string_view> (*)(std::string_view,
                                                        std::optional<std::string_view>, int64_t);

template <SplitFunction split>
Value SplitText(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("split", arguments, {"sep", "maxsplit"});
  const auto separator = parameters.OptionalText(0);
  if (separator && separator->empty()) Throw(ErrorKind::kValue, "empty separator");
  return ListOf(self, split(self.str(), separator, parameters.IntOr(1, -1)));
}

Value SplitLinesOf(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("splitlines", arguments, {"keepends"});
  const LineEnds ends = parameters.IsTrueAt(0) ? LineEnds::kKeep : LineEnds::kDrop;
  return ListOf(self, SplitLines(self.str(), ends));
}

Value ReplaceIn(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("replace", arguments, {"", "", ""}, 2);
  const std::string& old_part = parameters.Text(0);
  parameters.Text(1);
  return Like(self,
              Replace(self.str(), old_part, Escaped(self, parameters[1]), parameters.IntOr(2, -1)));
}

Value JoinWith(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("join", arguments, {""}, 1);
  std::string text;
  bool is_first = true;
  for (const Value& item : ToList(parameters[0])) {
    if (!item.IsString() && !self.is_markup()) {
      Throw(ErrorKind::kType, "join takes strings, found '{}'", TypeName(item));
    }
    if (!std::exchange(is_first, false)) text += self.str();
    text += item.IsString() ? Escaped(self, item) : EscapeHtml(ToText(item));
    if (text.size() > kMaxStringBytes) {
      Throw(ErrorKind::kLimit, "a string has more than {} bytes", kMaxStringBytes);
    }
  }
  return Like(self, std::move(text));
}

template <Align align>
Value Padded(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("a string's method", arguments, {"", ""}, 1);
  const std::string fill = parameters.Has(1) ? parameters.Text(1) : " ";
  if (CountCodePoints(fill) != 1) {
    Throw(ErrorKind::kType, "the fill character must be exactly one character long");
  }
  // Python's ljust adds on the right.
  return Like(self, Pad(self.str(), ToIndex(parameters[0], "a width"), fill, align));
}

Value ZeroFilled(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("zfill", arguments, {""}, 1);
  const int64_t width = ToIndex(parameters[0], "a width");
  const std::string& text = self.str();
  const bool has_sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  std::string out =
      Pad(has_sign ? text.substr(1) : text, has_sign ? width - 1 : width, "0", Align::kRight);
  return Like(self, has_sign ? text[0] + out : out);
}

Value WithoutPrefix(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("removeprefix", arguments, {""}, 1);
  const std::string& prefix = parameters.Text(0);
  return Like(self, self.str().starts_with(prefix) ? self.str().substr(prefix.size()) : self.str());
}

Value WithoutSuffix(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("removesuffix", arguments, {""}, 1);
  const std::string& suffix = parameters.Text(0);
  const bool ends = self.str().ends_with(suffix);
  return Like(self, ends ? self.str().substr(0, self.str().size() - suffix.size()) : self.str());
}

template <Side side>
Value Partitioned(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("partition", arguments, {""}, 1);
  const std::string& text = self.str();
  const std::string& separator = parameters.Text(0);
  if (separator.empty()) Throw(ErrorKind::kValue, "empty separator");
  const size_t at = side == Side::kLeft ? text.find(separator) : text.rfind(separator);
  std::string parts[3];
  if (at == std::string::npos) {
    parts[side == Side::kLeft ? 0 : 2] = text;
  } else {
    parts[0] = text.substr(0, at);
    parts[1] = separator;
    parts[2] = text.substr(at + separator.size());
  }
  return Value::Tuple({Like(self, std::move(parts[0])), Like(self, std::move(parts[1])),
                       Like(self, std::move(parts[2]))});
}

Value ExpandTabs(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("expandtabs", arguments, {"tabsize"});
  const int64_t size = parameters.IntOr(0, 8);
  if (size > static_cast<int64_t>(kMaxStringBytes)) Throw(ErrorKind::kLimit, "tabs are too wide");
  std::string out;
  int64_t column = 0;
  for (const char c : self.str()) {
    if (c != '\t') {
      out.push_back(c);
      if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++column;
      if (c == '\n' || c == '\r') column = 0;
    } else if (size > 0) {
      const int64_t spaces = size - column % size;
      out.append(static_cast<size_t>(spaces), ' ');
      column += spaces;
    }
    if (out.size() > kMaxStringBytes) {
      Throw(ErrorKind::kLimit, "a string has more than {} bytes", kMaxStringBytes);
    }
  }
  return Like(self, std::move(out));
}

Value Format(Interpreter&, const Value& self, Arguments& arguments) {
  return BraceFormat(self, arguments);
}

Value FormatMap(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("format_map", arguments, {""}, 1);
  Arguments inner;
  if (!parameters[0].Is(Type::kDict)) {
    Throw(ErrorKind::kType, "format_map takes a mapping, not '{}'", TypeName(parameters[0]));
  }
  for (const Dict::Entry& entry : parameters[0].dict().entries()) {
    if (entry.key.IsString()) inner.keywords.push_back({entry.key.str(), entry.value});
  }
  return BraceFormat(self, inner);
}

constexpr MethodEntry kMethods[] = {
    {"strip", Stripped<Side::kBoth>},
    {"lstrip", Stripped<Side::kLeft>},
    {"rstrip", Stripped<Side::kRight>},
    {"split", SplitText<Split>},
    {"rsplit", SplitText<SplitFromRight>},
    {"splitlines", SplitLinesOf},
    {"replace", ReplaceIn},
    {"join", JoinWith},
    {"upper", Converted<ToUpper>},
    {"lower", Converted<ToLower>},
    {"title", Converted<ToTitle>},
    {"capitalize", Converted<Capitalize>},
    {"swapcase", Converted<SwapCase>},
    {"center", Padded<Align::kCenter>},
    {"ljust", Padded<Align::kLeft>},
    {"rjust", Padded<Align::kRight>},
    {"zfill", ZeroFilled},
    {"removeprefix", WithoutPrefix},
    {"removesuffix", WithoutSuffix},
    {"partition", Partitioned<Side::kLeft>},
    {"rpartition", Partitioned<Side::kRight>},
    {"expandtabs", ExpandTabs},
    {"format", Format},
    {"format_map", FormatMap},
};

}  // namespace

std::span<const MethodEntry> TextMethods() { return kMethods; }

}  // namespace phalanx::jinja
