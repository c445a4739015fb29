#include "text/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "text/jinja/arithmetic.h"
#include "text/jinja/big_int.h"
#include "text/jinja/error.h"
#include "text/jinja/objects.h"
#include "text/jinja/printf_format.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {
namespace {

std::string_view Symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSub:
      return "-";
    case BinaryOp::kMul:
      return "*";
    case BinaryOp::kDiv:
      return "/";
    case BinaryOp::kFloorDiv:
      return "//";
    case BinaryOp::kMod:
      return "%";
    case BinaryOp::kPow:
      return "**";
  }
  return "";
}

// `value` times `count`; the count may be anything.
Value Repeat(const Value& value, int64_t count) {
  count = std::max<int64_t>(count, 0);
  const bool is_string = value.IsString();
  const size_t unit = is_string ? value.str().size() : value.items().size();
  const size_t most = is_string ? kMaxStringBytes : kMaxListItems;
  if (unit != 0 && static_cast<uint64_t>(count) > most / unit) {
    Throw(ErrorKind::kLimit, "repeating makes more than {} {}", most,
          is_string ? "bytes" : "items");
  }
  if (is_string) {
    std::string text;
    text.reserve(unit * static_cast<size_t>(count));
    for (int64_t i = 0; unit != 0 && i < count; ++i) text += value.str();
    return Value::String(std::move(text), value.is_markup() ? Markup::kYes : Markup::kNo);
  }
  Values items;
  items.reserve(unit * static_cast<size_t>(count));
  for (int64_t i = 0; unit != 0 && i < count; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return value.Is(Type::kList) ? Value::List(std::move(items)) : Value::Tuple(std::move(items));
}

bool IsRepeatable(const Value& value) { return value.IsString() || value.IsSequence(); }

Value Join(const Value& left, const Value& right) {
  Values items = left.items();
  if (items.size() + right.items().size() > kMaxListItems) {
    Throw(ErrorKind::kLimit, "a list has more than {} items", kMaxListItems);
  }
  items.insert(items.end(), right.items().begin(), right.items().end());
  return left.Is(Type::kList) ? Value::List(std::move(items)) : Value::Tuple(std::move(items));
}

bool SequencesEqual(const Values& left, const Values& right) {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    if (!left[i].IsSame(right[i]) && !Equals(left[i], right[i])) return false;
  }
  return true;
}

bool DictsEqual(const Dict& left, const Dict& right) {
  if (left.size() != right.size()) return false;
  for (const Dict::Entry& entry : left.entries()) {
    const Value* other = right.Find(entry.key);
    if (other == nullptr) return false;
    if (!other->IsSame(entry.value) && !Equals(entry.value, *other)) return false;
  }
  return true;
}

// As sets, which keys and items are.
bool ViewsEqual(const DictView& left, const Value& right) {
  if (static_cast<int64_t>(left.length()) != LengthOf(right)) return false;
  for (size_t i = 0; i < left.length(); ++i) {
    if (!Contains(right, left.At(i))) return false;
  }
  return true;
}

[[noreturn]] void ThrowNoOrder(const Value& left, const Value& right) {
  if (left.IsUndefined()) ThrowUndefined(left);
  if (right.IsUndefined()) ThrowUndefined(right);
  Throw(ErrorKind::kType, "'<' not supported between instances of '{}' and '{}'", TypeName(left),
        TypeName(right));
}

// left < right, or left <= right.
bool Ordered(const Value& left, const Value& right, CompareOp op) {
  const bool or_equal = op == CompareOp::kLe;
  if (left.IsNumber() && right.IsNumber()) return NumbersOrdered(op, left, right);
  if (left.IsString() && right.IsString()) {
    return or_equal ? left.str() <= right.str() : left.str() < right.str();
  }
  if (left.IsSequence() && left.type() == right.type()) {
    const Values& a = left.items();
    const Values& b = right.items();
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (!a[i].IsSame(b[i]) && !Equals(a[i], b[i])) return Ordered(a[i], b[i], op);
    }
    return or_equal ? a.size() <= b.size() : a.size() < b.size();
  }
  ThrowNoOrder(left, right);
}

}  // namespace

void ThrowUndefined(const Value& undefined) {
  const Missing& missing = undefined.missing();
  throw TemplateError(missing.is_unsafe ? ErrorKind::kSecurity : ErrorKind::kUndefined,
                      missing.message);
}

bool IsTrue(const Value& value) {
  switch (value.type()) {
    case Type::kMissing:
    case Type::kUndefined:
    case Type::kNone:
      return false;
    case Type::kBool:
    case Type::kInt:
      return value.integer() != 0;
    case Type::kBigInt:
      return true;
    case Type::kFloat:
      return value.real() != 0;
    case Type::kString:
      return !value.str().empty();
    case Type::kList:
    case Type::kTuple:
      return !value.items().empty();
    case Type::kDict:
      return value.dict().size() != 0;
    case Type::kObject:
      return value.object().Size().value_or(1) != 0;
  }
  return false;
}

Value Binary(BinaryOp op, const Value& left, const Value& right) {
  if (op == BinaryOp::kMod && left.IsString()) return PrintfFormat(left, right);
  if (left.IsUndefined()) ThrowUndefined(left);
  if (right.IsUndefined()) ThrowUndefined(right);
  if (left.IsNumber() && right.IsNumber()) return Arithmetic(op, left, right);
  if (op == BinaryOp::kAdd) {
    if (left.IsString() && right.IsString()) return Concatenate(left, right);
    if (left.IsSequence() && left.type() == right.type()) return Join(left, right);
  }
  if (op == BinaryOp::kMul) {
    if (IsRepeatable(left) && right.IsInteger())
      return Repeat(left, ToIndex(right, "a repetition"));
    if (IsRepeatable(right) && left.IsInteger())
      return Repeat(right, ToIndex(left, "a repetition"));
  }
  Throw(ErrorKind::kType, "unsupported operand types for {}: '{}' and '{}'", Symbol(op),
        TypeName(left), TypeName(right));
}

Value Negative(const Value& value) {
  if (value.IsUndefined()) ThrowUndefined(value);
  if (value.Is(Type::kFloat)) return Value::Float(-value.real());
  if (value.IsInteger()) return Value::Int(-ToBigInt(value));
  Throw(ErrorKind::kType, "bad operand type for unary -: '{}'", TypeName(value));
}

Value Positive(const Value& value) {
  if (value.IsUndefined()) ThrowUndefined(value);
  if (value.Is(Type::kBool)) return Value::Int(value.integer());
  if (value.IsNumber()) return value;
  Throw(ErrorKind::kType, "bad operand type for unary +: '{}'", TypeName(value));
}

bool Equals(const Value& left, const Value& right) {
  if (left.IsNumber() && right.IsNumber()) return NumbersEqual(left, right);
  if (left.type() != right.type()) return false;
  switch (left.type()) {
    case Type::kMissing:
    case Type::kUndefined:
    case Type::kNone:
      return true;
    case Type::kString:
      return left.str() == right.str();
    case Type::kList:
    case Type::kTuple:
      return SequencesEqual(left.items(), right.items());
    case Type::kDict:
      return DictsEqual(left.dict(), right.dict());
    default:
      break;
  }
  const auto* left_range = left.As<Range>();
  const auto* right_range = right.As<Range>();
  if (left_range != nullptr && right_range != nullptr) return left_range->Equals(*right_range);
  const auto* left_view = left.As<DictView>();
  const auto* right_view = right.As<DictView>();
  if (left_view != nullptr && right_view != nullptr) {
    if (left_view->part() == DictView::Part::kValues) return left.IsSame(right);
    return right_view->part() != DictView::Part::kValues && ViewsEqual(*left_view, right);
  }
  return left.IsSame(right);
}

bool Less(const Value& left, const Value& right) { return Ordered(left, right, CompareOp::kLt); }

bool Contains(const Value& container, const Value& item) {
  switch (container.type()) {
    case Type::kString:
      if (!item.IsString()) {
        Throw(ErrorKind::kType, "'in <string>' requires string as left operand, not {}",
              TypeName(item));
      }
      return container.str().find(item.str()) != std::string::npos;
    case Type::kList:
    case Type::kTuple:
      return std::any_of(
          container.items().begin(), container.items().end(),
          [&](const Value& other) { return other.IsSame(item) || Equals(other, item); });
    case Type::kDict:
      return container.dict().Find(item) != nullptr;
    case Type::kUndefined:
      return false;
    default:
      break;
  }
  if (const auto* view = container.As<DictView>()) {
    if (view->part() == DictView::Part::kKeys) return view->dict().Find(item) != nullptr;
  }
  if (const auto iterator = TryIterate(container)) {
    for (Value other; iterator->Next(&other);) {
      if (other.IsSame(item) || Equals(other, item)) return true;
    }
    return false;
  }
  Throw(ErrorKind::kType, "argument of type '{}' is not iterable", TypeName(container));
}

bool Compare(CompareOp op, const Value& left, const Value& right) {
  switch (op) {
    case CompareOp::kEq:
      return Equals(left, right);
    case CompareOp::kNe:
      return !Equals(left, right);
    case CompareOp::kLt:
    case CompareOp::kLe:
      return Ordered(left, right, op);
    case CompareOp::kGt:
      return Ordered(right, left, CompareOp::kLt);
    case CompareOp::kGe:
      return Ordered(right, left, CompareOp::kLe);
    case CompareOp::kIn:
      return Contains(right, left);
    case CompareOp::kNotIn:
      return !Contains(right, left);
  }
  return false;
}

int64_t LengthOf(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
      return 0;
    case Type::kString:
      return static_cast<int64_t>(CountCodePoints(value.str()));
    case Type::kList:
    case Type::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Type::kDict:
      return static_cast<int64_t>(value.dict().size());
    default:
      break;
  }
  if (value.Is(Type::kObject)) {
    if (const auto size = value.object().Size()) return *size;
  }
  Throw(ErrorKind::kType, "object of type '{}' has no len()", TypeName(value));
}

int64_t ToIndex(const Value& value, std::string_view what) {
  if (value.Is(Type::kInt) || value.Is(Type::kBool)) return value.integer();
  if (value.Is(Type::kBigInt)) {
    return value.big().IsNegative() ? std::numeric_limits<int64_t>::min()
                                    : std::numeric_limits<int64_t>::max();
  }
  if (value.IsUndefined()) ThrowUndefined(value);
  Throw(ErrorKind::kType, "{} must be an integer, not '{}'", what, TypeName(value));
}

Value Slice(const Value& value, const Value& start, const Value& stop, const Value& step) {
  if (value.IsUndefined()) ThrowUndefined(value);
  const auto* range = value.As<Range>();
  if (!value.IsString() && !value.IsSequence() && range == nullptr) {
    Throw(ErrorKind::kType, "'{}' object cannot be sliced", TypeName(value));
  }
  const auto part = [](const Value& index, int64_t otherwise) {
    return index.Is(Type::kNone) ? otherwise : ToIndex(index, "a slice index");
  };
  const int64_t by = part(step, 1);
  if (by == 0) Throw(ErrorKind::kValue, "slice step cannot be zero");
  const int64_t length = LengthOf(value);
  const auto clamp = [&](const Value& index, int64_t otherwise) {
    int64_t at = part(index, otherwise);
    if (index.Is(Type::kNone)) return at;
    if (at < 0) at = at < -length ? -1 : at + length;
    if (at < 0) return by < 0 ? int64_t{-1} : int64_t{0};
    return std::min(at, by < 0 ? length - 1 : length);
  };
  const int64_t from = clamp(start, by > 0 ? 0 : length - 1);
  const int64_t to = clamp(stop, by > 0 ? length : -1);
  if (range != nullptr) return range->Slice(from, to, by);
  const auto has_next = [&](int64_t at) { return by > 0 ? at < to : at > to; };
  // The next position may be past 64 bits only after the last one.
  const auto next = [&](int64_t at) {
    return by > 0 ? (by > to - at ? to : at + by) : (by < to - at ? to : at + by);
  };
  if (value.IsString()) {
    const Markup markup = value.is_markup() ? Markup::kYes : Markup::kNo;
    if (by == 1) return Value::String(SliceCodePoints(value.str(), from, to), markup);
    std::string text;
    const CodePoints points(value.str());
    for (int64_t at = from; has_next(at); at = next(at)) text += points[static_cast<size_t>(at)];
    return Value::String(std::move(text), markup);
  }
  Values items;
  for (int64_t at = from; has_next(at); at = next(at)) {
    items.push_back(value.items()[static_cast<size_t>(at)]);
  }
  return value.Is(Type::kList) ? Value::List(std::move(items)) : Value::Tuple(std::move(items));
}

Value Concatenate(const Value& left, const Value& right) {
  const bool markup = left.is_markup() || right.is_markup();
  std::string text = markup && !left.is_markup() ? EscapeHtml(left.str()) : left.str();
  text += markup && !right.is_markup() ? EscapeHtml(right.str()) : right.str();
  if (text.size() > kMaxStringBytes) {
    Throw(ErrorKind::kLimit, "a string has more than {} bytes", kMaxStringBytes);
  }
  return Value::String(std::move(text), markup ? Markup::kYes : Markup::kNo);
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

}  // namespace phalanx::jinja
