#include "text/jinja/interpreter.h"

#include <algorithm>
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/loop.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/tests.h"

namespace phalanx::jinja {
namespace {

constexpr size_t kBytesPerStep = 1024;
constexpr size_t kItemsPerStep = 16;

}  // namespace

Interpreter::~Interpreter() {
  for (const auto& object : retained_) object->Clear();
}

void Interpreter::ThrowTooManySteps() const {
  Throw(ErrorKind::kLimit, "the template takes more than {} steps", limits_.steps);
}

void Interpreter::Charge(const Value& value) {
  if (value.IsString()) {
    Step(static_cast<int64_t>(value.str().size() / kBytesPerStep));
  } else if (value.IsSequence()) {
    Step(static_cast<int64_t>(value.items().size() / kItemsPerStep));
  } else if (value.Is(Type::kDict)) {
    Step(static_cast<int64_t>(value.dict().size() / kItemsPerStep));
  } else if (value.Is(Type::kObject)) {
    if (const auto* range = value.As<Range>()) {
      Step(range->length() / static_cast<int64_t>(kItemsPerStep));
    }
  }
}

std::string Interpreter::Run() {
  std::string out;
  const Env env{std::make_shared<Activation>(nullptr, program_.variables), &out};
  Enter(program_.scope, env);
  Run(program_.body, env);
  return out;
}

void Interpreter::Write(const Env& env, std::string_view text) {
  written_bytes_ += text.size();
  Step(static_cast<int64_t>(text.size() / kBytesPerStep));
  // Blocks' texts count where they are written and where they are shown, each alone against the
  // limit for all of them together.
  if (env.out->size() + text.size() > limits_.output_bytes) {
    Throw(ErrorKind::kLimit, "the template writes more than {} bytes", limits_.output_bytes);
  }
  *env.out += text;
}

void Interpreter::WriteText(const Env& env, const Value& value) {
  if (!value.IsString()) {
    Throw(ErrorKind::kType, "a block must give a string, not '{}'", TypeName(value));
  }
  Write(env, value.str());
}

Value Interpreter::Resolve(const std::string& name) const {
  if (const Value* value = context_.Find(name)) return *value;
  if (const Value* value = globals_.Find(name)) return *value;
  return {};
}

void Interpreter::Enter(const Scope& scope, const Env& env) {
  for (const ScopeLoad& load : scope) {
    switch (load.kind) {
      case ScopeLoad::Kind::kParameter:
        break;
      case ScopeLoad::Kind::kResolve:
        env.activation->At(load.target) = Resolve(load.name);
        break;
      case ScopeLoad::Kind::kAlias:
        env.activation->At(load.target) = env.activation->At(load.source);
        break;
      case ScopeLoad::Kind::kNothing:
        env.activation->At(load.target) = Value();
        break;
    }
  }
}

void Interpreter::Leave(const Scope& scope, const Env& env) {
  for (const ScopeLoad& load : scope) env.activation->At(load.target) = Value();
}

void Interpreter::Capture(const Env& env) {
  if (env.activation->MarkCaptured()) Retain(env.activation);
}

Interpreter::Flow Interpreter::Run(const Body& body, const Env& env) {
  for (const StatementPtr& statement : body) {
    const Flow flow = Run(*statement, env);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::Run(const Statement& statement, const Env& env) try {
  Step();
  const DepthGuard guard(&depth_);
  switch (statement.kind) {
    case StatementKind::kOutput:
      RunOutput(static_cast<const OutputStatement&>(statement), env);
      break;
    case StatementKind::kFor: {
      const auto& loop = static_cast<const ForStatement&>(statement);
      const Value iterable = Eval(*loop.iterable, env);
      if (!loop.is_recursive) return RunFor(loop, env, iterable, 0, env);
      Write(env, RunRecursiveLoop(loop, env, iterable, 0));
      break;
    }
    case StatementKind::kIf:
      return RunIf(static_cast<const IfStatement&>(statement), env);
    case StatementKind::kMacro:
      RunMacro(static_cast<const MacroStatement&>(statement), env);
      break;
    case StatementKind::kCallBlock:
      RunCallBlock(static_cast<const CallBlockStatement&>(statement), env);
      break;
    case StatementKind::kFilterBlock:
      return RunFilterBlock(static_cast<const FilterBlockStatement&>(statement), env);
    case StatementKind::kWith:
      return RunWith(static_cast<const WithStatement&>(statement), env);
    case StatementKind::kAssign:
      RunAssign(static_cast<const AssignStatement&>(statement), env);
      break;
    case StatementKind::kAssignBlock:
      return RunAssignBlock(static_cast<const AssignBlockStatement&>(statement), env);
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
} catch (TemplateError& error) {
  error.SetLine(statement.line);
  throw;
}

void Interpreter::RunOutput(const OutputStatement& output, const Env& env) {
  std::string buffer;
  for (const ExprPtr& item : output.items) {
    Value scratch;
    try {
      Write(env, TextOf(Peek(*item, env, &scratch), &buffer));
    } catch (TemplateError& error) {
      error.SetLine(item->line);
      throw;
    }
  }
}

Interpreter::Flow Interpreter::RunIf(const IfStatement& statement, const Env& env) {
  for (const auto& [test, body] : statement.branches) {
    Value scratch;
    if (IsTrue(Peek(*test, env, &scratch))) return Run(body, env);
  }
  return Run(statement.otherwise, env);
}

// What a loop's test passes on: the target's value, a tuple where the target is one.
Value Interpreter::TargetValue(const Expr& target, const Env& env) {
  if (target.kind == ExprKind::kName) {
    return env.activation->At(static_cast<const NameExpr&>(target).slot);
  }
  Values values;
  for (const ExprPtr& item : static_cast<const ItemsExpr&>(target).items) {
    values.push_back(TargetValue(*item, env));
  }
  return Value::Tuple(std::move(values));
}

// The items for which the loop's test holds, each tested when its turn comes.
Value Interpreter::FilterLoop(const ForStatement& loop, const Env& env, const Value& iterable) {
  Capture(env);
  const auto source = Iterate(iterable);
  const Env inner{std::make_shared<Activation>(env.activation, loop.test_variables), nullptr};
  return MakeGenerator(iterable,
                       [this, &loop, source, inner, is_entered = false](Value* item) mutable {
                         if (!std::exchange(is_entered, true)) Enter(loop.test_scope, inner);
                         while (source->Next(item)) {
                           Step();
                           Assign(*loop.test_target, *item, inner);
                           Value scratch;
                           if (!IsTrue(Peek(*loop.test, inner, &scratch))) continue;
                           *item = TargetValue(*loop.test_target, inner);
                           return true;
                         }
                         return false;
                       });
}

Interpreter::Flow Interpreter::RunFor(const ForStatement& loop, const Env& env,
                                      const Value& iterable, int depth, const Env& test_env) {
  const Value items = loop.test == nullptr ? iterable : FilterLoop(loop, test_env, iterable);
  std::shared_ptr<Loop> context;
  std::shared_ptr<Iterator> iterator;
  if (loop.loop) {
    Loop::Recurse recurse;
    if (loop.is_recursive) {
      Capture(test_env);
      // The text that a recursive loop makes is returned, not written.
      recurse = [this, &loop, inner = Env{test_env.activation, nullptr}](const Value& nested,
                                                                         int nested_depth) {
        return RunRecursiveLoop(loop, inner, nested, nested_depth);
      };
    }
    context = std::make_shared<Loop>(items, depth, std::move(recurse));
    env.activation->At(*loop.loop) = Value();
  } else {
    iterator = Iterate(items);
  }
  bool is_empty = true;
  Flow flow = Flow::kNormal;
  for (Value item; context != nullptr ? context->Next(&item) : iterator->Next(&item);) {
    Step();
    Assign(*loop.target, item, env);
    if (context != nullptr) env.activation->At(*loop.loop) = Value::FromObject(context);
    Enter(loop.body_scope, env);
    flow = Run(loop.body, env);
    if (flow == Flow::kBreak) break;
    // An iteration that ends with `continue` does not count, as in Jinja's compiled loops.
    if (flow == Flow::kNormal) is_empty = false;
  }
  Leave(loop.body_scope, env);
  if (!loop.has_otherwise || !is_empty) return Flow::kNormal;
  Enter(loop.otherwise_scope, env);
  flow = Run(loop.otherwise, env);
  Leave(loop.otherwise_scope, env);
  return flow;
}

std::string Interpreter::RunRecursiveLoop(const ForStatement& loop, const Env& env,
                                          const Value& iterable, int depth) {
  if (++calls_ > limits_.depth) {
    Throw(ErrorKind::kLimit, "calls are nested deeper than {}", limits_.depth);
  }
  std::string out;
  const Env inner{std::make_shared<Activation>(env.activation, loop.recursive_variables), &out};
  RunFor(loop, inner, iterable, depth, env);
  --calls_;
  return out;
}

Interpreter::Flow Interpreter::RunFilterBlock(const FilterBlockStatement& block, const Env& env) {
  Enter(block.scope, env);
  std::string text;
  const Flow flow = Run(block.body, {env.activation, &text});
  if (flow != Flow::kNormal) return flow;
  const Value input = Value::String(std::move(text));
  WriteText(env, EvalBlockFilter(*block.filter, env, &input));
  Leave(block.scope, env);
  return flow;
}

Interpreter::Flow Interpreter::RunWith(const WithStatement& with, const Env& env) {
  Enter(with.scope, env);
  for (const auto& [target, value] : with.variables) Assign(*target, Eval(*value, env), env);
  const Flow flow = Run(with.body, env);
  if (flow == Flow::kNormal) Leave(with.scope, env);
  return flow;
}

void Interpreter::CheckNamespaces(const Expr& target, const Env& env) {
  if (target.kind == ExprKind::kTuple) {
    for (const ExprPtr& item : static_cast<const ItemsExpr&>(target).items) {
      CheckNamespaces(*item, env);
    }
  } else if (target.kind == ExprKind::kNamespaceRef) {
    const auto& reference = static_cast<const NamespaceRefExpr&>(target);
    if (env.activation->At(reference.slot).As<Namespace>() == nullptr) {
      Throw(ErrorKind::kRuntime, "cannot assign attribute on non-namespace object");
    }
  }
}

void Interpreter::Assign(const Expr& target, const Value& value, const Env& env) {
  if (target.kind == ExprKind::kName) {
    env.activation->At(static_cast<const NameExpr&>(target).slot) = value;
    return;
  }
  if (target.kind == ExprKind::kNamespaceRef) {
    const auto& reference = static_cast<const NamespaceRefExpr&>(target);
    auto* names = env.activation->At(reference.slot).As<Namespace>();
    if (names == nullptr) {
      Throw(ErrorKind::kRuntime, "cannot assign attribute on non-namespace object");
    }
    names->Set(reference.attribute, value);
    return;
  }
  const Exprs& targets = static_cast<const ItemsExpr&>(target).items;
  const Values values = ToList(value);
  if (values.size() != targets.size()) {
    Throw(ErrorKind::kValue, "cannot unpack {} values into {}", values.size(), targets.size());
  }
  for (size_t i = 0; i < targets.size(); ++i) Assign(*targets[i], values[i], env);
}

void Interpreter::RunAssign(const AssignStatement& assign, const Env& env) {
  CheckNamespaces(*assign.target, env);
  Assign(*assign.target, Eval(*assign.value, env), env);
}

Interpreter::Flow Interpreter::RunAssignBlock(const AssignBlockStatement& assign, const Env& env) {
  Enter(assign.scope, env);
  std::string text;
  const Flow flow = Run(assign.body, {env.activation, &text});
  if (flow != Flow::kNormal) return flow;
  Value value = Value::String(std::move(text));
  if (assign.filter != nullptr) value = EvalBlockFilter(*assign.filter, env, &value);
  Assign(*assign.target, value, env);
  Leave(assign.scope, env);
  return flow;
}

}  // namespace phalanx::jinja
