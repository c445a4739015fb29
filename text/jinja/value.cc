#include "text/jinja/value.h"

#include <algorithm>
#include <functional>

#include "text/jinja/big_int.h"
#include "text/jinja/error.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"

namespace phalanx::jinja {
namespace {

int DepthOf(const Values& items) {
  int deepest = 0;
  for (const Value& item : items) deepest = std::max(deepest, item.Depth());
  return DepthAbove(deepest);
}

std::shared_ptr<Sequence> MakeSequence(Values items, bool is_group) {
  const int depth = DepthOf(items);
  return std::make_shared<Sequence>(Sequence{std::move(items), depth, is_group});
}

}  // namespace

int DepthAbove(int inner) {
  if (inner >= kMaxValueDepth) {
    Throw(ErrorKind::kLimit, "a value is nested deeper than {}", kMaxValueDepth);
  }
  return inner + 1;
}

Value Value::Undefined(std::string message) {
  return {Type::kUndefined, std::make_shared<Missing>(Missing{std::move(message), false})};
}

Value Value::Unsafe(std::string message) {
  return {Type::kUndefined, std::make_shared<Missing>(Missing{std::move(message), true})};
}

Value Value::Bool(bool value) {
  Value result(Type::kBool);
  result.integer_ = value ? 1 : 0;
  return result;
}

Value Value::Int(int64_t value) {
  Value result(Type::kInt);
  result.integer_ = value;
  return result;
}

Value Value::Int(BigInt value) {
  if (const auto small = value.ToInt64()) return Int(*small);
  return {Type::kBigInt, std::make_shared<BigInt>(std::move(value))};
}

Value Value::Float(double value) {
  Value result(Type::kFloat);
  result.real_ = value;
  return result;
}

Value Value::String(std::string bytes, Markup markup) {
  return {Type::kString, std::make_shared<Text>(Text{std::move(bytes), markup == Markup::kYes})};
}

Value Value::List(Values items) { return {Type::kList, MakeSequence(std::move(items), false)}; }

Value Value::Tuple(Values items) { return {Type::kTuple, MakeSequence(std::move(items), false)}; }

Value Value::Group(Value grouper, Value list) {
  return {Type::kTuple, MakeSequence({std::move(grouper), std::move(list)}, true)};
}

Value Value::FromDict(Dict dict) { return {Type::kDict, std::make_shared<Dict>(std::move(dict))}; }

Value Value::FromObject(std::shared_ptr<Object> object) {
  return {Type::kObject, std::move(object)};
}

bool Value::IsSame(const Value& other) const {
  if (type_ != other.type_) return false;
  switch (type_) {
    case Type::kNone:
      return true;
    case Type::kBool:
    case Type::kInt:
      return integer_ == other.integer_;
    case Type::kFloat:
      return false;
    default:
      return heap_ == other.heap_;
  }
}

int Value::Depth() const {
  switch (type_) {
    case Type::kList:
    case Type::kTuple:
      return sequence().depth;
    case Type::kDict:
      return dict().depth();
    case Type::kObject:
      return object().depth();
    default:
      return 0;
  }
}

template <typename Equal>
size_t Dict::Position(size_t hash, const Equal& equal) const {
  if (entries_.size() <= kSmall) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (hashes_[i] == hash && equal(entries_[i].key)) return i;
    }
    return entries_.size();
  }
  for (auto [at, end] = positions_.equal_range(hash); at != end; ++at) {
    if (equal(entries_[at->second].key)) return at->second;
  }
  return entries_.size();
}

void Dict::Append(size_t hash, Value key, Value value) {
  depth_ = std::max(depth_, DepthAbove(std::max(key.Depth(), value.Depth())));
  entries_.push_back({std::move(key), std::move(value)});
  hashes_.push_back(hash);
  if (entries_.size() == kSmall + 1) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      positions_.emplace(hashes_[i], static_cast<uint32_t>(i));
    }
  } else if (entries_.size() > kSmall) {
    positions_.emplace(hash, static_cast<uint32_t>(entries_.size() - 1));
  }
}

void Dict::Set(Value key, Value value) {
  const size_t hash = HashOf(key);
  const size_t at =
      Position(hash, [&](const Value& other) { return other.IsSame(key) || Equals(other, key); });
  if (at == entries_.size()) {
    Append(hash, std::move(key), std::move(value));
  } else {
    depth_ = std::max(depth_, DepthAbove(value.Depth()));
    entries_[at].value = std::move(value);
  }
}

void Dict::Set(std::string_view key, Value value) {
  Set(Value::String(std::string(key)), std::move(value));
}

const Value* Dict::Find(const Value& key) const {
  const size_t at = Position(
      HashOf(key), [&](const Value& other) { return other.IsSame(key) || Equals(other, key); });
  return at == entries_.size() ? nullptr : &entries_[at].value;
}

const Value* Dict::Find(std::string_view key) const {
  const size_t at = Position(
      HashOf(key), [&](const Value& other) { return other.IsString() && other.str() == key; });
  return at == entries_.size() ? nullptr : &entries_[at].value;
}

std::string_view TypeName(const Value& value) {
  switch (value.type()) {
    case Type::kMissing:
    case Type::kUndefined:
      return "Undefined";
    case Type::kNone:
      return "NoneType";
    case Type::kBool:
      return "bool";
    case Type::kInt:
    case Type::kBigInt:
      return "int";
    case Type::kFloat:
      return "float";
    case Type::kString:
      return value.is_markup() ? "Markup" : "str";
    case Type::kList:
      return "list";
    case Type::kTuple:
      return "tuple";
    case Type::kDict:
      return "dict";
    case Type::kObject:
      return value.object().type_name();
  }
  return "";
}

size_t HashOf(std::string_view text) { return std::hash<std::string_view>()(text); }

bool IsHashable(const Value& value) {
  if (value.Is(Type::kList) || value.Is(Type::kDict)) return false;
  if (value.Is(Type::kTuple)) {
    return std::all_of(value.items().begin(), value.items().end(), IsHashable);
  }
  const auto* view = value.As<DictView>();
  return view == nullptr || view->part() == DictView::Part::kValues;
}

size_t HashOf(const Value& value) {
  if (!IsHashable(value)) Throw(ErrorKind::kType, "unhashable type: '{}'", TypeName(value));
  switch (value.type()) {
    case Type::kMissing:
    case Type::kUndefined:
      return 1;
    case Type::kNone:
      return 2;
    case Type::kBool:
    case Type::kInt:  // equal numbers have equal hashes, whatever their type
    case Type::kBigInt:
    case Type::kFloat:
      return std::hash<double>()(ToDouble(value));
    case Type::kString:
      return HashOf(value.str());
    case Type::kTuple: {
      size_t hash = 3;
      for (const Value& item : value.items()) hash = hash * 1000003 ^ HashOf(item);
      return hash;
    }
    case Type::kList:
    case Type::kDict:
      break;
    case Type::kObject:
      if (const auto* range = value.As<Range>()) return static_cast<size_t>(range->length());
      return std::hash<const void*>()(&value.object());
  }
  return 0;
}

}  // namespace phalanx::jinja
