// Runs a checked template.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/error.h"
#include "text/jinja/limits.h"
#include "text/jinja/objects.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

// The variables of one call of a function.
class Activation final : public Object {
 public:
  Activation(std::shared_ptr<Activation> parent, int variables)
      : Object(1), parent_(std::move(parent)), variables_(static_cast<size_t>(variables)) {}
  std::string_view type_name() const override { return "activation"; }
  void Clear() override { variables_.assign(variables_.size(), Value()); }

  Value& At(const Slot& slot) {
    Activation* activation = this;
    for (int i = 0; i < slot.hops; ++i) activation = activation->parent_.get();
    return activation->variables_[static_cast<size_t>(slot.index)];
  }
  // True once: what is captured is to be cleared at the end.
  bool MarkCaptured() { return !std::exchange(is_captured_, true); }

 private:
  std::shared_ptr<Activation> parent_;
  Values variables_;
  bool is_captured_ = false;
};

// Where a statement runs: its variables, and the text that it writes.
struct Env {
  std::shared_ptr<Activation> activation;
  std::string* out;
};

// Expressions, statements and calls inside each other: what keeps the stack within its bounds.
class DepthGuard {
 public:
  explicit DepthGuard(int* depth) : depth_(depth) {
    if (++*depth_ <= kMaxDepth) return;
    --*depth_;
    Throw(ErrorKind::kLimit, "the evaluation is nested deeper than {}", kMaxDepth);
  }
  ~DepthGuard() { --*depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  static constexpr int kMaxDepth = 2000;
  int* depth_;
};

class Interpreter {
 public:
  // All three outlive it.
  Interpreter(const Program& program, const Dict& context, const Dict& globals,
              const Limits& limits)
      : program_(program), context_(context), globals_(globals), limits_(limits) {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  std::string Run();

  // Counts work; throws beyond the limit.
  void Step(int64_t steps = 1) {
    steps_ += steps;
    if (steps_ > limits_.steps) [[unlikely]]
      ThrowTooManySteps();
  }
  // Counts an operation on `value` by its size.
  void Charge(const Value& value);

  Value Call(const Value& callee, Arguments arguments);
  Value ApplyFilter(const Value& name, const Value& input, Arguments& arguments);
  bool ApplyTest(const Value& name, const Value& input, Arguments& arguments);

  // Keeps an object that may come to hold itself, to clear it at the end.
  void Retain(std::shared_ptr<Object> object) { retained_.push_back(std::move(object)); }

  // What a macro's and a recursive loop's objects call.
  std::string RunFunction(const Function& function, const std::shared_ptr<Activation>& outer,
                          Arguments arguments);
  std::string RunRecursiveLoop(const ForStatement& loop, const Env& env, const Value& iterable,
                               int depth);

 private:
  enum class Flow { kNormal, kBreak, kContinue };

  [[noreturn]] void ThrowTooManySteps() const;

  // Statements.
  Flow Run(const Body& body, const Env& env);
  Flow Run(const Statement& statement, const Env& env);
  void RunOutput(const OutputStatement& output, const Env& env);
  Flow RunFor(const ForStatement& loop, const Env& env, const Value& iterable, int depth,
              const Env& test_env);
  Flow RunIf(const IfStatement& statement, const Env& env);
  void RunMacro(const MacroStatement& macro, const Env& env);
  void RunCallBlock(const CallBlockStatement& block, const Env& env);
  Flow RunFilterBlock(const FilterBlockStatement& block, const Env& env);
  Flow RunWith(const WithStatement& with, const Env& env);
  void RunAssign(const AssignStatement& assign, const Env& env);
  Flow RunAssignBlock(const AssignBlockStatement& assign, const Env& env);
  void CheckNamespaces(const Expr& target, const Env& env);
  void Assign(const Expr& target, const Value& value, const Env& env);
  void Enter(const Scope& scope, const Env& env);
  static void Leave(const Scope& scope, const Env& env);
  void Capture(const Env& env);
  void Write(const Env& env, std::string_view text);
  void WriteText(const Env& env, const Value& value);  // throws for what is no string
  Value FilterLoop(const ForStatement& loop, const Env& env, const Value& iterable);
  static Value TargetValue(const Expr& target, const Env& env);
  Value MakeMacro(const Function& function, const Env& env);
  void Bind(const Function& function, Arguments& arguments, const Env& env);

  // Expressions.
  Value Eval(const Expr& node, const Env& env);
  Value EvalNode(const Expr& node, const Env& env);
  // The value without a copy where it is a constant or a variable, otherwise in `*scratch`.
  const Value& Peek(const Expr& node, const Env& env, Value* scratch);
  Value EvalName(const NameExpr& name, const Env& env);
  Value EvalItems(const ItemsExpr& node, const Env& env);
  Value EvalDict(const DictExpr& node, const Env& env);
  Value EvalCompare(const CompareExpr& node, const Env& env);
  Value EvalConditional(const ConditionalExpr& node, const Env& env);
  Value EvalSlice(const SliceExpr& node, const Env& env);
  Value EvalCall(const CallExpr& node, const Env& env, const Value* caller);
  Value EvalFilter(const FilterExpr& node, const Env& env, const Value* block);
  bool EvalTest(const TestExpr& node, const Env& env);
  Value EvalBlockFilter(const Expr& node, const Env& env, const Value* block);
  Arguments EvalArguments(const ArgumentExprs& arguments, const Env& env);
  Value Resolve(const std::string& name) const;

  const Program& program_;
  const Dict& context_;
  const Dict& globals_;
  const Limits& limits_;
  int64_t steps_ = 0;
  int calls_ = 0;  // that run inside each other
  int depth_ = 0;  // of expressions and statements inside each other, calls included
  size_t written_bytes_ = 0;
  std::vector<std::shared_ptr<Object>> retained_;
};

}  // namespace phalanx::jinja
