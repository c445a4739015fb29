// The methods of lists, tuples, ranges, dicts and numbers that change nothing.
#include <algorithm>
#include <cmath>

#include "text/jinja/attributes.h"
#include "text/jinja/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"

namespace phalanx::jinja {
namespace {

Value View(const Value& self, Arguments& arguments, DictView::Part part) {
  const Parameters none("a dict's method", arguments, {});
  return Value::FromObject(std::make_shared<DictView>(self, part));
}

Value Keys(Interpreter&, const Value& self, Arguments& arguments) {
  return View(self, arguments, DictView::Part::kKeys);
}

Value AllValues(Interpreter&, const Value& self, Arguments& arguments) {
  return View(self, arguments, DictView::Part::kValues);
}

Value Items(Interpreter&, const Value& self, Arguments& arguments) {
  return View(self, arguments, DictView::Part::kItems);
}

Value Get(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("get", arguments, {"", ""}, 1);
  const Value* value = self.dict().Find(parameters[0]);
  return value != nullptr ? *value : parameters.ValueOr(1, Value::None());
}

Value Copy(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("copy", arguments, {});
  return self.Is(Type::kDict) ? Value::FromDict(self.dict()) : Value::List(self.items());
}

Value Count(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("count", arguments, {""}, 1);
  int64_t count = 0;
  for (const Value& item : ToList(self)) {
    if (item.IsSame(parameters[0]) || Equals(item, parameters[0])) ++count;
  }
  return Value::Int(count);
}

Value Index(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters parameters("index", arguments, {"", "", ""}, 1);
  const Values items = ToList(self);
  const auto size = static_cast<int64_t>(items.size());
  const auto bound = [&](size_t i, int64_t otherwise) {
    const int64_t at = parameters.IntOr(i, otherwise);
    return at < 0 ? std::max<int64_t>(at + size, 0) : std::min(at, size);
  };
  const int64_t end = bound(2, size);
  for (int64_t i = bound(1, 0); i < end; ++i) {
    const Value& item = items[static_cast<size_t>(i)];
    if (item.IsSame(parameters[0]) || Equals(item, parameters[0])) return Value::Int(i);
  }
  Throw(ErrorKind::kValue, "the value is not in the list");
}

Value BitLength(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("bit_length", arguments, {});
  if (!self.Is(Type::kInt) && !self.Is(Type::kBool)) {
    Throw(ErrorKind::kType, "bit_length takes an integer of 64 bits");
  }
  auto magnitude = static_cast<uint64_t>(self.integer());
  if (self.integer() < 0) magnitude = 0 - magnitude;
  return Value::Int(magnitude == 0 ? 0 : 64 - __builtin_clzll(magnitude));
}

Value IsInteger(Interpreter&, const Value& self, Arguments& arguments) {
  const Parameters none("is_integer", arguments, {});
  return Value::Bool(std::isfinite(self.real()) && self.real() == std::floor(self.real()));
}

constexpr MethodEntry kDictMethods[] = {
    {"items", Items}, {"keys", Keys}, {"values", AllValues}, {"get", Get}, {"copy", Copy}};
constexpr MethodEntry kSequenceMethods[] = {{"count", Count}, {"index", Index}, {"copy", Copy}};
constexpr MethodEntry kNumberMethods[] = {{"bit_length", BitLength}, {"is_integer", IsInteger}};

}  // namespace

std::span<const MethodEntry> DictMethods() { return kDictMethods; }
std::span<const MethodEntry> SequenceMethods() { return kSequenceMethods; }
std::span<const MethodEntry> NumberMethods() { return kNumberMethods; }

}  // namespace phalanx::jinja
