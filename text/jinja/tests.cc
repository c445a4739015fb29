#include "text/jinja/tests.h"

#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/loop.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"
#include "text/jinja/print.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {
namespace {

using Predicate = bool (*)(const Value&);

template <Predicate holds>
bool Simple(const Value& input, Arguments& arguments) {
  const Parameters none("the test", arguments, {});
  return holds(input);
}

template <Type type>
bool IsOf(const Value& value) {
  return value.Is(type);
}

bool IsDefined(const Value& value) { return !value.IsUndefined(); }
bool IsTrueItself(const Value& value) { return value.Is(Type::kBool) && value.boolean(); }
bool IsFalseItself(const Value& value) { return value.Is(Type::kBool) && !value.boolean(); }
bool IsNumber(const Value& value) { return value.IsNumber(); }
bool IsWhole(const Value& value) { return value.IsInteger() && !value.Is(Type::kBool); }
bool IsMarkup(const Value& value) { return value.is_markup(); }

bool LeavesRest(const Value& value, int64_t divisor, int64_t rest) {
  return Equals(Binary(BinaryOp::kMod, value, Value::Int(divisor)), Value::Int(rest));
}
bool IsOdd(const Value& value) { return LeavesRest(value, 2, 1); }
bool IsEven(const Value& value) { return LeavesRest(value, 2, 0); }

bool IsLower(const Value& value) { return HasOnlyCase(ToText(value), CharacterClass::kLowercase); }
bool IsUpper(const Value& value) { return HasOnlyCase(ToText(value), CharacterClass::kUppercase); }

bool IsSequence(const Value& value) {
  return value.IsString() || value.IsSequence() || value.Is(Type::kDict) || value.IsUndefined() ||
         value.As<Range>() != nullptr;
}

bool IsIterable(const Value& value) {
  return TryIterate(value) != nullptr || value.As<Loop>() != nullptr;
}

bool IsCallable(const Value& value) {
  return value.IsUndefined() || value.As<Callable>() != nullptr;
}

bool IsFilter(const Value& value) {
  HashOf(value);  // throws, as a lookup would
  return value.IsString() && FindFilter(value.str()) != nullptr;
}

bool IsTest(const Value& value) {
  HashOf(value);
  return value.IsString() && FindTest(value.str()) != nullptr;
}

template <CompareOp op>
bool Compares(const Value& input, Arguments& arguments) {
  const Parameters parameters("the test", arguments, {op == CompareOp::kIn ? "seq" : ""}, 1);
  return Compare(op, input, parameters[0]);
}

bool DivisibleBy(const Value& input, Arguments& arguments) {
  const Parameters parameters("divisibleby", arguments, {"num"}, 1);
  return Equals(Binary(BinaryOp::kMod, input, parameters[0]), Value::Int(0));
}

bool SameAs(const Value& input, Arguments& arguments) {
  const Parameters parameters("sameas", arguments, {"other"}, 1);
  return input.IsSame(parameters[0]);
}

constexpr TestEntry kTests[] = {
    {"defined", Simple<IsDefined>},
    {"undefined", Simple<IsOf<Type::kUndefined>>},
    {"none", Simple<IsOf<Type::kNone>>},
    {"boolean", Simple<IsOf<Type::kBool>>},
    {"true", Simple<IsTrueItself>},
    {"false", Simple<IsFalseItself>},
    {"integer", Simple<IsWhole>},
    {"float", Simple<IsOf<Type::kFloat>>},
    {"number", Simple<IsNumber>},
    {"string", Simple<IsOf<Type::kString>>},
    {"mapping", Simple<IsOf<Type::kDict>>},
    {"sequence", Simple<IsSequence>},
    {"iterable", Simple<IsIterable>},
    {"callable", Simple<IsCallable>},
    {"escaped", Simple<IsMarkup>},
    {"lower", Simple<IsLower>},
    {"upper", Simple<IsUpper>},
    {"odd", Simple<IsOdd>},
    {"even", Simple<IsEven>},
    {"divisibleby", DivisibleBy},
    {"sameas", SameAs},
    {"filter", Simple<IsFilter>},
    {"test", Simple<IsTest>},
    {"in", Compares<CompareOp::kIn>},
    {"eq", Compares<CompareOp::kEq>},
    {"==", Compares<CompareOp::kEq>},
    {"equalto", Compares<CompareOp::kEq>},
    {"ne", Compares<CompareOp::kNe>},
    {"!=", Compares<CompareOp::kNe>},
    {"lt", Compares<CompareOp::kLt>},
    {"<", Compares<CompareOp::kLt>},
    {"lessthan", Compares<CompareOp::kLt>},
    {"le", Compares<CompareOp::kLe>},
    {"<=", Compares<CompareOp::kLe>},
    {"gt", Compares<CompareOp::kGt>},
    {">", Compares<CompareOp::kGt>},
    {"greaterthan", Compares<CompareOp::kGt>},
    {"ge", Compares<CompareOp::kGe>},
    {">=", Compares<CompareOp::kGe>},
};

}  // namespace

const TestEntry* FindTest(std::string_view name) {
  for (const TestEntry& test : kTests) {
    if (test.name == name) return &test;
  }
  return nullptr;
}

}  // namespace phalanx::jinja
