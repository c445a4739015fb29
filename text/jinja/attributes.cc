#include "text/jinja/attributes.h"

#include <algorithm>
#include <array>

#include "text/jinja/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/loop.h"
#include "text/jinja/macro.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"
#include "text/jinja/print.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {
namespace {

// What would change a list or a dict is hidden by the immutable sandbox.
constexpr std::array<std::string_view, 5> kUnsafeDict = {"clear", "pop", "popitem", "setdefault",
                                                         "update"};
constexpr std::array<std::string_view, 8> kUnsafeList = {"append", "clear",  "extend",  "insert",
                                                         "pop",    "remove", "reverse", "sort"};

template <size_t n>
bool IsIn(std::string_view name, const std::array<std::string_view, n>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const MethodEntry* FindIn(std::span<const MethodEntry> methods, std::string_view name) {
  for (const MethodEntry& method : methods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

Value Unsafe(const Value& object, std::string_view name) {
  return Value::Unsafe(
      fmt::format("access to attribute '{}' of '{}' object is unsafe", name, TypeName(object)));
}

Value BindMethod(const MethodEntry& method, const Value& self) {
  return Value::FromObject(
      std::make_shared<Builtin>(std::string(method.name), DepthAbove(self.Depth()),
                                [&method, self](Interpreter& interpreter, Arguments& arguments) {
                                  return method.call(interpreter, self, arguments);
                                }));
}

// A function of one of the objects below.
Value BindFunction(const Value& self, std::string_view name, Builtin::Function function) {
  return Value::FromObject(
      std::make_shared<Builtin>(std::string(name), DepthAbove(self.Depth()), std::move(function)));
}

Value LoopAttribute(const Value& object, Loop& loop, std::string_view name) {
  if (name == "cycle") {
    return BindFunction(object, name, [object, &loop](Interpreter&, Arguments& arguments) {
      if (!arguments.keywords.empty()) Throw(ErrorKind::kType, "cycle takes no keyword arguments");
      return loop.Cycle(arguments.positional);
    });
  }
  if (name == "changed") {
    return BindFunction(object, name,
                        [object, &loop](Interpreter& interpreter, Arguments& arguments) {
                          if (!arguments.keywords.empty())
                            Throw(ErrorKind::kType, "changed takes no keyword arguments");
                          interpreter.Retain(object.shared_object());
                          return Value::Bool(loop.Changed(arguments.positional));
                        });
  }
  return loop.Attribute(name);
}

Value CyclerAttribute(const Value& object, Cycler& cycler, std::string_view name) {
  if (name == "current") return cycler.current();
  if (name == "pos") return Value::Int(static_cast<int64_t>(cycler.position()));
  if (name == "items") return Value::Tuple(cycler.items());
  if (name == "next" || name == "reset") {
    const bool advances = name == "next";
    return BindFunction(object, name,
                        [object, &cycler, advances](Interpreter&, Arguments& arguments) {
                          const Parameters none("a cycler's method", arguments, {});
                          Value current = advances ? cycler.current() : Value::None();
                          if (advances) {
                            cycler.Advance();
                          } else {
                            cycler.Reset();
                          }
                          return current;
                        });
  }
  return {};
}

// An attribute of an object; missing where it has none of that name.
Value ObjectAttribute(const Value& object, std::string_view name) {
  if (auto* loop = object.As<Loop>()) return LoopAttribute(object, *loop, name);
  if (auto* cycler = object.As<Cycler>()) return CyclerAttribute(object, *cycler, name);
  if (const auto* macro = object.As<Macro>()) return macro->Attribute(name);
  if (const auto* names = object.As<Namespace>()) {
    const Value* value = names->attributes().Find(name);
    return value == nullptr ? Value() : *value;
  }
  if (const auto* range = object.As<Range>()) {
    if (name == "start") return Value::Int(range->start());
    if (name == "stop") return Value::Int(range->stop());
    if (name == "step") return Value::Int(range->step());
    if (const MethodEntry* method = FindMethod(object, name)) return BindMethod(*method, object);
  }
  return {};
}

// An attribute of anything; missing where there is none.
Value AttributeOf(const Value& object, std::string_view name) {
  if (object.Is(Type::kObject)) return ObjectAttribute(object, name);
  if (object.Is(Type::kTuple) && object.sequence().is_group) {
    if (name == "grouper") return object.items()[0];
    if (name == "list") return object.items()[1];
  }
  if (object.IsNumber()) {
    if (name == "real" || name == "numerator") {
      if (name == "real" || object.IsInteger()) return Positive(object);
    }
    if (name == "imag") return object.IsInteger() ? Value::Int(0) : Value::Float(0);
    if (name == "denominator" && object.IsInteger()) return Value::Int(1);
  }
  if (const MethodEntry* method = FindMethod(object, name)) return BindMethod(*method, object);
  if (object.Is(Type::kDict) && IsIn(name, kUnsafeDict)) return Unsafe(object, name);
  if (object.Is(Type::kList) && IsIn(name, kUnsafeList)) return Unsafe(object, name);
  return {};
}

// object[key]; missing where Python has no item, or no items.
Value ItemOf(const Value& object, const Value& key) {
  if (object.Is(Type::kDict)) {
    if (!IsHashable(key)) return {};
    const Value* value = object.dict().Find(key);
    return value == nullptr ? Value() : *value;
  }
  if (!key.Is(Type::kInt) && !key.Is(Type::kBool)) return {};
  const int64_t index = key.integer();
  const auto position = [index](int64_t length) -> std::optional<size_t> {
    const int64_t at = index < 0 ? index + length : index;
    if (at < 0 || at >= length) return std::nullopt;
    return static_cast<size_t>(at);
  };
  if (object.IsSequence()) {
    const auto at = position(static_cast<int64_t>(object.items().size()));
    return at ? object.items()[*at] : Value();
  }
  if (object.IsString()) {
    const auto at = position(LengthOf(object));
    if (!at) return {};
    const auto from = static_cast<int64_t>(*at);
    return Value::String(SliceCodePoints(object.str(), from, from + 1),
                         object.is_markup() ? Markup::kYes : Markup::kNo);
  }
  if (const auto* range = object.As<Range>()) {
    const auto at = position(range->length());
    return at ? Value::Int(range->At(static_cast<int64_t>(*at))) : Value();
  }
  return {};
}

Value NoSuch(const Value& object, const Value& key) {
  if (key.IsString()) {
    return Value::Undefined(
        fmt::format("'{} object' has no attribute {}", TypeName(object), Repr(key)));
  }
  return Value::Undefined(fmt::format("{} object has no element {}", TypeName(object), Repr(key)));
}

}  // namespace

const MethodEntry* FindMethod(const Value& object, std::string_view name) {
  switch (object.type()) {
    case Type::kString:
      if (const MethodEntry* method = FindIn(TextMethods(), name)) return method;
      return FindIn(QueryMethods(), name);
    case Type::kList:
    case Type::kTuple:
      return name == "copy" && object.Is(Type::kTuple) ? nullptr : FindIn(SequenceMethods(), name);
    case Type::kDict:
      return FindIn(DictMethods(), name);
    case Type::kInt:
    case Type::kBigInt:
    case Type::kBool:
    case Type::kFloat:
      return name == "is_integer" && object.IsInteger() ? nullptr : FindIn(NumberMethods(), name);
    case Type::kObject:
      return object.As<Range>() != nullptr && name != "copy" ? FindIn(SequenceMethods(), name)
                                                             : nullptr;
    default:
      return nullptr;
  }
}

Value GetAttribute(const Value& object, const Value& name) {
  if (object.IsUndefined()) ThrowUndefined(object);
  Value value = AttributeOf(object, name.str());
  if (value.Is(Type::kMissing) && object.Is(Type::kDict)) value = ItemOf(object, name);
  return value.Is(Type::kMissing) ? NoSuch(object, name) : value;
}

Value GetItem(const Value& object, const Value& key) {
  if (object.IsUndefined()) ThrowUndefined(object);
  Value value = ItemOf(object, key);
  if (value.Is(Type::kMissing) && key.IsString()) value = AttributeOf(object, key.str());
  return value.Is(Type::kMissing) ? NoSuch(object, key) : value;
}

}  // namespace phalanx::jinja
