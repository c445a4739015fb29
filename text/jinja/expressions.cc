// The interpreter's expressions.
#include <algorithm>
#include <utility>

#include "text/jinja/attributes.h"
#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/tests.h"

namespace phalanx::jinja {
Value Interpreter::Eval(const Expr& node, const Env& env) {
  Step();
  const DepthGuard guard(&depth_);
  return EvalNode(node, env);
}

const Value& Interpreter::Peek(const Expr& node, const Env& env, Value* scratch) {
  if (node.kind == ExprKind::kConst) return static_cast<const ConstExpr&>(node).value;
  if (node.kind == ExprKind::kName) {
    const Value& value = env.activation->At(static_cast<const NameExpr&>(node).slot);
    if (!value.Is(Type::kMissing)) return value;
  }
  *scratch = Eval(node, env);
  return *scratch;
}

Value Interpreter::EvalName(const NameExpr& name, const Env& env) {
  const Value& value = env.activation->At(name.slot);
  if (!value.Is(Type::kMissing)) return value;
  return Value::Undefined(fmt::format("'{}' is undefined", name.name));
}

Value Interpreter::EvalNode(const Expr& node, const Env& env) {
  switch (node.kind) {
    case ExprKind::kConst:
      return static_cast<const ConstExpr&>(node).value;
    case ExprKind::kName:
      return EvalName(static_cast<const NameExpr&>(node), env);
    case ExprKind::kNamespaceRef:
      break;
    case ExprKind::kTuple:
    case ExprKind::kList:
    case ExprKind::kConcat:
      return EvalItems(static_cast<const ItemsExpr&>(node), env);
    case ExprKind::kDict:
      return EvalDict(static_cast<const DictExpr&>(node), env);
    case ExprKind::kNot: {
      Value scratch;
      return Value::Bool(
          !IsTrue(Peek(*static_cast<const UnaryExpr&>(node).operand, env, &scratch)));
    }
    case ExprKind::kNegative:
      return Negative(Eval(*static_cast<const UnaryExpr&>(node).operand, env));
    case ExprKind::kPositive:
      return Positive(Eval(*static_cast<const UnaryExpr&>(node).operand, env));
    case ExprKind::kBinary: {
      const auto& binary = static_cast<const BinaryExpr&>(node);
      const Value left = Eval(*binary.left, env);
      Value scratch;
      Value result = Binary(binary.op, left, Peek(*binary.right, env, &scratch));
      Charge(result);
      return result;
    }
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      const auto& binary = static_cast<const BinaryExpr&>(node);
      Value left = Eval(*binary.left, env);
      const bool decides = IsTrue(left) == (node.kind == ExprKind::kOr);
      return decides ? left : Eval(*binary.right, env);
    }
    case ExprKind::kCompare:
      return EvalCompare(static_cast<const CompareExpr&>(node), env);
    case ExprKind::kConditional:
      return EvalConditional(static_cast<const ConditionalExpr&>(node), env);
    case ExprKind::kGetAttribute: {
      const auto& attribute = static_cast<const AttributeExpr&>(node);
      Value scratch;
      return GetAttribute(Peek(*attribute.object, env, &scratch), attribute.name);
    }
    case ExprKind::kGetItem: {
      const auto& item = static_cast<const ItemExpr&>(node);
      const Value object = Eval(*item.object, env);
      Value scratch;
      return GetItem(object, Peek(*item.index, env, &scratch));
    }
    case ExprKind::kSlice:
      return EvalSlice(static_cast<const SliceExpr&>(node), env);
    case ExprKind::kCall:
      return EvalCall(static_cast<const CallExpr&>(node), env, nullptr);
    case ExprKind::kFilter:
      return EvalFilter(static_cast<const FilterExpr&>(node), env, nullptr);
    case ExprKind::kTest:
      return Value::Bool(EvalTest(static_cast<const TestExpr&>(node), env));
  }
  return {};
}

Value Interpreter::EvalItems(const ItemsExpr& node, const Env& env) {
  if (node.kind == ExprKind::kConcat) {
    std::string text, buffer;
    for (const ExprPtr& item : node.items) {
      Value scratch;
      text += TextOf(Peek(*item, env, &scratch), &buffer);
      if (text.size() > kMaxStringBytes) {
        Throw(ErrorKind::kLimit, "a string has more than {} bytes", kMaxStringBytes);
      }
    }
    Value result = Value::String(std::move(text));
    Charge(result);
    return result;
  }
  Values items;
  items.reserve(node.items.size());
  for (const ExprPtr& item : node.items) items.push_back(Eval(*item, env));
  return node.kind == ExprKind::kList ? Value::List(std::move(items))
                                      : Value::Tuple(std::move(items));
}

Value Interpreter::EvalDict(const DictExpr& node, const Env& env) {
  Dict dict;
  for (const auto& [key, value] : node.items) {
    Value name = Eval(*key, env);
    dict.Set(std::move(name), Eval(*value, env));
  }
  return Value::FromDict(std::move(dict));
}

Value Interpreter::EvalCompare(const CompareExpr& node, const Env& env) {
  Value left = Eval(*node.first, env);
  for (const auto& [op, operand] : node.rest) {
    Value right = Eval(*operand, env);
    Charge(right);
    if (!Compare(op, left, right)) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

Value Interpreter::EvalConditional(const ConditionalExpr& node, const Env& env) {
  Value scratch;
  if (IsTrue(Peek(*node.test, env, &scratch))) return Eval(*node.then, env);
  if (node.otherwise != nullptr) return Eval(*node.otherwise, env);
  return Value::Undefined(
      fmt::format("the inline if-expression on line {} evaluated to false and no else section was "
                  "defined",
                  node.line));
}

Value Interpreter::EvalSlice(const SliceExpr& node, const Env& env) {
  const Value object = Eval(*node.object, env);
  const auto part = [&](const ExprPtr& index) {
    return index == nullptr ? Value::None() : Eval(*index, env);
  };
  const Value start = part(node.start);
  const Value stop = part(node.stop);
  const Value step = part(node.step);
  const bool can_be_sliced = object.IsString() || object.IsSequence() || object.IsUndefined() ||
                             object.As<Range>() != nullptr;
  if (node.is_lenient && !can_be_sliced) {
    return Value::Undefined(fmt::format("'{}' object cannot be sliced", TypeName(object)));
  }
  Value result = Slice(object, start, stop, step);
  Charge(result);
  return result;
}

Arguments Interpreter::EvalArguments(const ArgumentExprs& arguments, const Env& env) {
  Arguments result;
  result.positional.reserve(arguments.positional.size());
  for (const ExprPtr& argument : arguments.positional) {
    result.positional.push_back(Eval(*argument, env));
  }
  for (const auto& [name, value] : arguments.keywords) {
    result.keywords.push_back({name, Eval(*value, env)});
  }
  if (arguments.more_positional != nullptr) {
    for (Value& item : ToList(Eval(*arguments.more_positional, env))) {
      result.positional.push_back(std::move(item));
    }
  }
  if (arguments.more_keywords != nullptr) {
    const Value more = Eval(*arguments.more_keywords, env);
    if (!more.Is(Type::kDict)) {
      Throw(ErrorKind::kType, "argument after ** must be a mapping, not {}", TypeName(more));
    }
    for (const Dict::Entry& entry : more.dict().entries()) {
      if (!entry.key.IsString()) Throw(ErrorKind::kType, "keywords must be strings");
      const bool is_there =
          std::any_of(result.keywords.begin(), result.keywords.end(),
                      [&](const Keyword& keyword) { return keyword.name == entry.key.str(); });
      if (is_there) Throw(ErrorKind::kType, "got two values for '{}'", entry.key.str());
      result.keywords.push_back({entry.key.str(), entry.value});
    }
  }
  return result;
}

Value Interpreter::Call(const Value& callee, Arguments arguments) {
  Step();
  if (callee.IsUndefined()) ThrowUndefined(callee);
  const auto callable = std::dynamic_pointer_cast<Callable>(
      callee.Is(Type::kObject) ? callee.shared_object() : nullptr);
  if (callable == nullptr) {
    Throw(ErrorKind::kType, "'{}' object is not callable", TypeName(callee));
  }
  const DepthGuard guard(&depth_);
  return callable->Call(*this, std::move(arguments));
}

Value Interpreter::EvalCall(const CallExpr& node, const Env& env, const Value* caller) {
  const auto arguments = [&] {
    Arguments result = EvalArguments(node.arguments, env);
    if (caller != nullptr) {
      for (const Keyword& keyword : result.keywords) {
        if (keyword.name == "caller") Throw(ErrorKind::kType, "got two values for 'caller'");
      }
      result.keywords.push_back({"caller", *caller});
    }
    return result;
  };
  if (node.callee->kind == ExprKind::kGetAttribute) {
    // A method is called without making an object of it first.
    const auto& attribute = static_cast<const AttributeExpr&>(*node.callee);
    const Value object = Eval(*attribute.object, env);
    if (!object.Is(Type::kObject)) {
      if (const MethodEntry* method = FindMethod(object, attribute.name.str())) {
        Charge(object);
        Arguments values = arguments();
        Value result = method->call(*this, object, values);
        Charge(result);
        return result;
      }
    }
    const Value callee = GetAttribute(object, attribute.name);
    return Call(callee, arguments());
  }
  const Value callee = Eval(*node.callee, env);
  return Call(callee, arguments());
}

Value Interpreter::EvalFilter(const FilterExpr& node, const Env& env, const Value* block) {
  const Value input = node.input == nullptr ? *block : EvalBlockFilter(*node.input, env, block);
  if (node.filter == nullptr) {
    Throw(ErrorKind::kRuntime, "no filter named '{}' found", node.name);
  }
  Arguments arguments = EvalArguments(node.arguments, env);
  Charge(input);
  Value result = node.filter->apply(*this, input, arguments);
  Charge(result);
  return result;
}

// A filter whose innermost input may be a block's text; every other expression as it is.
Value Interpreter::EvalBlockFilter(const Expr& node, const Env& env, const Value* block) {
  if (block == nullptr || node.kind != ExprKind::kFilter) return Eval(node, env);
  Step();
  const DepthGuard guard(&depth_);
  return EvalFilter(static_cast<const FilterExpr&>(node), env, block);
}

bool Interpreter::EvalTest(const TestExpr& node, const Env& env) {
  Value scratch;
  const Value input = Peek(*node.input, env, &scratch);
  if (node.test == nullptr) Throw(ErrorKind::kRuntime, "no test named '{}' found", node.name);
  Arguments arguments = EvalArguments(node.arguments, env);
  return node.test->apply(input, arguments);
}

Value Interpreter::ApplyFilter(const Value& name, const Value& input, Arguments& arguments) {
  Step();
  if (name.IsUndefined()) ThrowUndefined(name);
  const FilterEntry* filter = name.IsString() ? FindFilter(name.str()) : nullptr;
  if (filter == nullptr) Throw(ErrorKind::kRuntime, "no filter named {}", Repr(name));
  Charge(input);
  return filter->apply(*this, input, arguments);
}

bool Interpreter::ApplyTest(const Value& name, const Value& input, Arguments& arguments) {
  Step();
  if (name.IsUndefined()) ThrowUndefined(name);
  const TestEntry* test = name.IsString() ? FindTest(name.str()) : nullptr;
  if (test == nullptr) Throw(ErrorKind::kRuntime, "no test named {}", Repr(name));
  return test->apply(input, arguments);
}

}  // namespace phalanx::jinja
