// The syntax tree of a template. The parser makes it, the checker finds each name's variable, the
// interpreter only reads it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/operators.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

struct FilterEntry;
struct TestEntry;

// Where a variable lives: `hops` functions outwards, at `index` among that function's variables.
struct Slot {
  int hops = 0;
  int index = 0;
};

enum class ExprKind {
  kConst,
  kName,
  kNamespaceRef,
  kTuple,
  kList,
  kDict,
  kNot,
  kNegative,
  kPositive,
  kBinary,
  kAnd,
  kOr,
  kConcat,
  kCompare,
  kConditional,
  kGetAttribute,
  kGetItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
};

struct Expr {
  Expr(ExprKind kind, int line) : kind(kind), line(line) {}
  virtual ~Expr() = default;
  ExprKind kind;
  int line;
  int depth = 1;  // of the tree below, this one included
};
using ExprPtr = std::unique_ptr<Expr>;  // null where the syntax lets a part out
using Exprs = std::vector<ExprPtr>;

struct ConstExpr final : Expr {
  ConstExpr(int line, Value value) : Expr(ExprKind::kConst, line), value(std::move(value)) {}
  Value value;
};

enum class NameUse { kLoad, kStore, kParameter };

struct NameExpr final : Expr {
  NameExpr(int line, std::string name) : Expr(ExprKind::kName, line), name(std::move(name)) {}
  std::string name;
  NameUse use = NameUse::kLoad;
  Slot slot;
};

struct NamespaceRefExpr final : Expr {  // ns.name, as what is assigned to
  NamespaceRefExpr(int line, std::string name, std::string attribute)
      : Expr(ExprKind::kNamespaceRef, line),
        name(std::move(name)),
        attribute(Value::String(std::move(attribute))) {}
  std::string name;
  Value attribute;
  Slot slot;
};

struct ItemsExpr final : Expr {  // kTuple, kList, kConcat
  using Expr::Expr;
  Exprs items;
};

struct DictExpr final : Expr {
  explicit DictExpr(int line) : Expr(ExprKind::kDict, line) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
};

struct UnaryExpr final : Expr {  // kNot, kNegative, kPositive
  using Expr::Expr;
  ExprPtr operand;
};

struct BinaryExpr final : Expr {  // kBinary, kAnd, kOr
  using Expr::Expr;
  BinaryOp op = BinaryOp::kAdd;
  ExprPtr left, right;
};

struct CompareExpr final : Expr {
  explicit CompareExpr(int line) : Expr(ExprKind::kCompare, line) {}
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};

struct ConditionalExpr final : Expr {
  explicit ConditionalExpr(int line) : Expr(ExprKind::kConditional, line) {}
  ExprPtr test, then, otherwise;  // `otherwise` may be null
};

struct AttributeExpr final : Expr {
  AttributeExpr(int line, std::string name)
      : Expr(ExprKind::kGetAttribute, line), name(Value::String(std::move(name))) {}
  ExprPtr object;
  Value name;
};

struct ItemExpr final : Expr {
  explicit ItemExpr(int line) : Expr(ExprKind::kGetItem, line) {}
  ExprPtr object, index;
};

struct SliceExpr final : Expr {
  explicit SliceExpr(int line) : Expr(ExprKind::kSlice, line) {}
  ExprPtr object, start, stop, step;  // all but `object` may be null
  // From the checker: what cannot be sliced gives an undefined value instead of an error, as it
  // does where Jinja computes a constant expression in advance.
  bool is_lenient = false;
};

struct ArgumentExprs {
  Exprs positional;
  std::vector<std::pair<std::string, ExprPtr>> keywords;
  ExprPtr more_positional, more_keywords;  // *x and **x
};

struct CallExpr final : Expr {
  explicit CallExpr(int line) : Expr(ExprKind::kCall, line) {}
  ExprPtr callee;
  ArgumentExprs arguments;
};

struct FilterExpr final : Expr {
  FilterExpr(int line, std::string name) : Expr(ExprKind::kFilter, line), name(std::move(name)) {}
  ExprPtr input;  // null: the block's text
  std::string name;
  ArgumentExprs arguments;
  const FilterEntry* filter = nullptr;  // null: unknown, an error once it is reached
};

struct TestExpr final : Expr {
  TestExpr(int line, std::string name) : Expr(ExprKind::kTest, line), name(std::move(name)) {}
  ExprPtr input;
  std::string name;
  ArgumentExprs arguments;
  const TestEntry* test = nullptr;
};

enum class StatementKind {
  kOutput,
  kFor,
  kIf,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kWith,
  kAssign,
  kAssignBlock,
  kBreak,
  kContinue,
};

struct Statement {
  Statement(StatementKind kind, int line) : kind(kind), line(line) {}
  virtual ~Statement() = default;
  StatementKind kind;
  int line;
};
using StatementPtr = std::unique_ptr<Statement>;
using Body = std::vector<StatementPtr>;

// What is done to a scope's variables when it is entered.
struct ScopeLoad {
  enum class Kind { kParameter, kResolve, kAlias, kNothing };
  Kind kind;
  Slot target;
  std::string name;  // kResolve: of the context's variable
  Slot source;       // kAlias
};
using Scope = std::vector<ScopeLoad>;

struct OutputStatement final : Statement {
  explicit OutputStatement(int line) : Statement(StatementKind::kOutput, line) {}
  Exprs items;
};

struct ForStatement final : Statement {
  explicit ForStatement(int line) : Statement(StatementKind::kFor, line) {}
  ExprPtr target, iterable, test;  // `test` may be null
  bool is_recursive = false;
  Body body, otherwise;
  bool has_otherwise = false;
  // From the checker.
  std::optional<Slot> loop;  // where the body looks for `loop`, if it does
  Scope body_scope, test_scope, otherwise_scope;
  ExprPtr test_target;  // the target again, among the test's variables
  int test_variables = 0;
  int recursive_variables = 0;
};

struct IfStatement final : Statement {
  explicit IfStatement(int line) : Statement(StatementKind::kIf, line) {}
  std::vector<std::pair<ExprPtr, Body>> branches;
  Body otherwise;
};

// A macro, or the body of a call block.
struct Function {
  std::string name;
  std::vector<std::unique_ptr<NameExpr>> parameters;
  Exprs defaults;  // of the last parameters
  Body body;
  // From the checker.
  Scope scope;
  int variables = 0;
  std::optional<Slot> caller, keywords, positional;  // where used
};

struct MacroStatement final : Statement {
  explicit MacroStatement(int line) : Statement(StatementKind::kMacro, line) {}
  std::unique_ptr<NameExpr> target;
  Function function;
};

struct CallBlockStatement final : Statement {
  explicit CallBlockStatement(int line) : Statement(StatementKind::kCallBlock, line) {}
  ExprPtr call;  // a CallExpr; null: {% generation %}, which only shows its body
  Function function;
};

struct FilterBlockStatement final : Statement {
  explicit FilterBlockStatement(int line) : Statement(StatementKind::kFilterBlock, line) {}
  ExprPtr filter;
  Body body;
  Scope scope;
};

struct WithStatement final : Statement {
  explicit WithStatement(int line) : Statement(StatementKind::kWith, line) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> variables;  // target, value
  Body body;
  Scope scope;
};

struct AssignStatement final : Statement {
  explicit AssignStatement(int line) : Statement(StatementKind::kAssign, line) {}
  ExprPtr target, value;
};

struct AssignBlockStatement final : Statement {
  explicit AssignBlockStatement(int line) : Statement(StatementKind::kAssignBlock, line) {}
  ExprPtr target, filter;  // `filter` may be null
  Body body;
  Scope scope;
};

// A parsed and checked template.
struct Program {
  Body body;
  Scope scope;
  int variables = 0;
};

}  // namespace phalanx::jinja
