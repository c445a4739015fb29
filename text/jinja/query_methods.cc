// The methods of str that look for something, or tell what a string is made of.
#include <algorithm>

#include "text/jinja/attributes.h"
#include "text/jinja/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {
namespace {

// The part of a string that the optional arguments `from` and `to` name, in code points.
struct Window {
  std::string text;
  int64_t from;
  bool is_valid;  // Python finds nothing, not even "", where from lies behind the end
};

Window WindowOf(const Value& self, const Parameters& parameters) {
  const int64_t length = LengthOf(self);
  const auto bound = [&](size_t i, int64_t otherwise) {
    if (!parameters.HasAndIsNotNone(i)) return otherwise;
    const int64_t at = parameters.IntOr(i, otherwise);
    return at < 0 ? std::max<int64_t>(at < -length ? 0 : at + length, 0) : at;
  };
  const int64_t from = bound(1, 0);
  const int64_t to = std::min(bound(2, length), length);
  const bool is_valid = from <= to;
  return {is_valid ? SliceCodePoints(self.str(), from, to) : "", from, is_valid};
}

enum class Edge { kStart, kEnd };

template <Edge edge>
Value HasAt(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("startswith", arguments, {"", "", ""}, 1);
  const Window window = WindowOf(self, parameters);
  const auto matches = [&](const std::string& part) {
    if (!window.is_valid) return false;
    return edge == Edge::kStart ? window.text.starts_with(part) : window.text.ends_with(part);
  };
  if (!parameters[0].Is(Type::kTuple)) return Value::Bool(matches(parameters.Text(0)));
  for (const Value& part : parameters[0].items()) {
    if (!part.IsString()) {
      Throw(ErrorKind::kType, "startswith and endswith take strings, not '{}'", TypeName(part));
    }
    if (matches(part.str())) return Value::Bool(true);
  }
  return Value::Bool(false);
}

enum class Direction { kForward, kBackward };
enum class IfAbsent { kMinusOne, kError };

template <Direction direction, IfAbsent if_absent>
Value Find(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("find", arguments, {"", "", ""}, 1);
  const std::string& part = parameters.Text(0);
  const Window window = WindowOf(self, parameters);
  const size_t at =
      direction == Direction::kForward ? window.text.find(part) : window.text.rfind(part);
  if (at != std::string::npos && window.is_valid) {
    const std::string_view before = std::string_view(window.text).substr(0, at);
    return Value::Int(window.from + static_cast<int64_t>(CountCodePoints(before)));
  }
  if (if_absent == IfAbsent::kError) Throw(ErrorKind::kValue, "substring not found");
  return Value::Int(-1);
}

Value CountIn(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("count", arguments, {"", "", ""}, 1);
  const std::string& part = parameters.Text(0);
  const Window window = WindowOf(self, parameters);
  return Value::Int(window.is_valid ? CountParts(window.text, part) : 0);
}

template <bool (*is)(uint32_t)>
Value All(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("a string's method", arguments, {});
  const std::u32string points = Decode(self.str());
  return Value::Bool(!points.empty() && std::all_of(points.begin(), points.end(), is));
}

template <CharacterClass character_class>
bool Is(uint32_t point) {
  return IsIn(character_class, point);
}

Value IsAsciiText(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("isascii", arguments, {});
  return Value::Bool(IsAscii(self.str()));
}

Value IsPrintableText(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("isprintable", arguments, {});
  const std::u32string points = Decode(self.str());
  return Value::Bool(std::all_of(points.begin(), points.end(), IsPrintable));
}

Value IsLowerText(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("islower", arguments, {});
  return Value::Bool(HasOnlyCase(self.str(), CharacterClass::kLowercase));
}

Value IsUpperText(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("isupper", arguments, {});
  return Value::Bool(HasOnlyCase(self.str(), CharacterClass::kUppercase));
}

Value IsTitleText(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("istitle", arguments, {});
  bool in_word = false;
  bool has_cased = false;
  for (const char32_t point : Decode(self.str())) {
    const bool is_lower = IsIn(CharacterClass::kLowercase, point);
    const bool is_cased = IsCased(point);
    if (is_cased && is_lower != in_word) return Value::Bool(false);
    in_word = is_cased;
    has_cased |= is_cased;
  }
  return Value::Bool(has_cased);
}

Value IsIdentifier(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("isidentifier", arguments, {});
  const std::u32string points = Decode(self.str());
  const bool starts_well =
      !points.empty() && IsWord(points[0]) && !IsIn(CharacterClass::kNumeric, points[0]);
  return Value::Bool(starts_well && std::all_of(points.begin(), points.end(), IsWord));
}

constexpr MethodEntry kMethods[] = {
    {"startswith", HasAt<Edge::kStart>},
    {"endswith", HasAt<Edge::kEnd>},
    {"find", Find<Direction::kForward, IfAbsent::kMinusOne>},
    {"rfind", Find<Direction::kBackward, IfAbsent::kMinusOne>},
    {"index", Find<Direction::kForward, IfAbsent::kError>},
    {"rindex", Find<Direction::kBackward, IfAbsent::kError>},
    {"count", CountIn},
    {"isalnum", All<IsAlphanumeric>},
    {"isalpha", All<Is<CharacterClass::kAlphabetic>>},
    {"isdecimal", All<Is<CharacterClass::kDecimal>>},
    {"isdigit", All<Is<CharacterClass::kDigit>>},
    {"isnumeric", All<Is<CharacterClass::kNumeric>>},
    {"isspace", All<IsSpace>},
    {"islower", IsLowerText},
    {"isupper", IsUpperText},
    {"istitle", IsTitleText},
    {"isascii", IsAsciiText},
    {"isprintable", IsPrintableText},
    {"isidentifier", IsIdentifier},
};

}  // namespace

std::span<const MethodEntry> QueryMethods() { return kMethods; }

}  // namespace phalanx::jinja
