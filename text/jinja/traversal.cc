#include "text/jinja/traversal.h"

namespace phalanx::jinja {
namespace {

void VisitIf(const ExprPtr& node, const ExprVisitor& visit) {
  if (node != nullptr) visit(*node);
}

void VisitAll(const Exprs& nodes, const ExprVisitor& visit) {
  for (const ExprPtr& node : nodes) visit(*node);
}

void VisitArguments(const ArgumentExprs& arguments, const ExprVisitor& visit) {
  VisitAll(arguments.positional, visit);
  for (const auto& [name, value] : arguments.keywords) visit(*value);
  VisitIf(arguments.more_positional, visit);
  VisitIf(arguments.more_keywords, visit);
}

void ForEachExprOf(Function& function, const ExprVisitor& visit) {
  for (const auto& parameter : function.parameters) visit(*parameter);
  for (const ExprPtr& value : function.defaults) ForEachExpr(*value, visit);
  ForEachExpr(function.body, visit);
}

}  // namespace

void ForEachPart(Expr& node, const ExprVisitor& visit) {
  switch (node.kind) {
    case ExprKind::kConst:
    case ExprKind::kName:
    case ExprKind::kNamespaceRef:
      break;
    case ExprKind::kTuple:
    case ExprKind::kList:
    case ExprKind::kConcat:
      VisitAll(static_cast<ItemsExpr&>(node).items, visit);
      break;
    case ExprKind::kDict:
      for (const auto& [key, value] : static_cast<DictExpr&>(node).items) {
        visit(*key);
        visit(*value);
      }
      break;
    case ExprKind::kNot:
    case ExprKind::kNegative:
    case ExprKind::kPositive:
      visit(*static_cast<UnaryExpr&>(node).operand);
      break;
    case ExprKind::kBinary:
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      auto& binary = static_cast<BinaryExpr&>(node);
      visit(*binary.left);
      visit(*binary.right);
      break;
    }
    case ExprKind::kCompare: {
      auto& compare = static_cast<CompareExpr&>(node);
      visit(*compare.first);
      for (const auto& [op, operand] : compare.rest) visit(*operand);
      break;
    }
    case ExprKind::kConditional: {
      auto& conditional = static_cast<ConditionalExpr&>(node);
      visit(*conditional.test);
      visit(*conditional.then);
      VisitIf(conditional.otherwise, visit);
      break;
    }
    case ExprKind::kGetAttribute:
      visit(*static_cast<AttributeExpr&>(node).object);
      break;
    case ExprKind::kGetItem: {
      auto& item = static_cast<ItemExpr&>(node);
      visit(*item.object);
      visit(*item.index);
      break;
    }
    case ExprKind::kSlice: {
      auto& slice = static_cast<SliceExpr&>(node);
      visit(*slice.object);
      VisitIf(slice.start, visit);
      VisitIf(slice.stop, visit);
      VisitIf(slice.step, visit);
      break;
    }
    case ExprKind::kCall: {
      auto& call = static_cast<CallExpr&>(node);
      visit(*call.callee);
      VisitArguments(call.arguments, visit);
      break;
    }
    case ExprKind::kFilter: {
      auto& filter = static_cast<FilterExpr&>(node);
      VisitIf(filter.input, visit);
      VisitArguments(filter.arguments, visit);
      break;
    }
    case ExprKind::kTest: {
      auto& test = static_cast<TestExpr&>(node);
      visit(*test.input);
      VisitArguments(test.arguments, visit);
      break;
    }
  }
}

void ForEachExpr(Expr& node, const ExprVisitor& visit) {
  visit(node);
  ForEachPart(node, [&](Expr& part) { ForEachExpr(part, visit); });
}

void ForEachExpr(Body& body, const ExprVisitor& visit) {
  for (const StatementPtr& statement : body) ForEachExpr(*statement, visit);
}

void ForEachExpr(Statement& node, const ExprVisitor& visit) {
  switch (node.kind) {
    case StatementKind::kOutput:
      for (const ExprPtr& item : static_cast<OutputStatement&>(node).items) {
        ForEachExpr(*item, visit);
      }
      break;
    case StatementKind::kFor: {
      auto& loop = static_cast<ForStatement&>(node);
      ForEachExpr(*loop.target, visit);
      ForEachExpr(*loop.iterable, visit);
      ForEachExpr(loop.body, visit);
      ForEachExpr(loop.otherwise, visit);
      if (loop.test != nullptr) ForEachExpr(*loop.test, visit);
      break;
    }
    case StatementKind::kIf: {
      auto& branches = static_cast<IfStatement&>(node);
      for (auto& [test, body] : branches.branches) {
        ForEachExpr(*test, visit);
        ForEachExpr(body, visit);
      }
      ForEachExpr(branches.otherwise, visit);
      break;
    }
    case StatementKind::kMacro:
      ForEachExprOf(static_cast<MacroStatement&>(node).function, visit);
      break;
    case StatementKind::kCallBlock: {
      auto& block = static_cast<CallBlockStatement&>(node);
      if (block.call != nullptr) ForEachExpr(*block.call, visit);
      ForEachExprOf(block.function, visit);
      break;
    }
    case StatementKind::kFilterBlock: {
      auto& block = static_cast<FilterBlockStatement&>(node);
      ForEachExpr(block.body, visit);
      ForEachExpr(*block.filter, visit);
      break;
    }
    case StatementKind::kWith: {
      auto& with = static_cast<WithStatement&>(node);
      for (auto& [target, value] : with.variables) ForEachExpr(*target, visit);
      for (auto& [target, value] : with.variables) ForEachExpr(*value, visit);
      ForEachExpr(with.body, visit);
      break;
    }
    case StatementKind::kAssign: {
      auto& assign = static_cast<AssignStatement&>(node);
      ForEachExpr(*assign.target, visit);
      ForEachExpr(*assign.value, visit);
      break;
    }
    case StatementKind::kAssignBlock: {
      auto& assign = static_cast<AssignBlockStatement&>(node);
      ForEachExpr(*assign.target, visit);
      if (assign.filter != nullptr) ForEachExpr(*assign.filter, visit);
      ForEachExpr(assign.body, visit);
      break;
    }
    case StatementKind::kBreak:
    case StatementKind::kContinue:
      break;
  }
}

}  // namespace phalanx::jinja
