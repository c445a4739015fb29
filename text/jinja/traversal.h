// Walks over the syntax tree.
#pragma once

#include <functional>

#include "text/jinja/ast.h"

namespace phalanx::jinja {

// The direct parts of an expression that are there, in the order in which they are written down.
using ExprVisitor = std::function<void(Expr&)>;
void ForEachPart(Expr& node, const ExprVisitor& visit);

// Every expression below, those in nested blocks too, in the order of Jinja's own tree, each before
// its parts.
void ForEachExpr(Expr& node, const ExprVisitor& visit);
void ForEachExpr(Body& body, const ExprVisitor& visit);
void ForEachExpr(Statement& statement, const ExprVisitor& visit);

// The names among them.
using NameVisitor = std::function<void(NameExpr&)>;
template <typename Node>
void ForEachName(Node& node, const NameVisitor& visit) {
  ForEachExpr(node, [&visit](Expr& part) {
    if (part.kind == ExprKind::kName) visit(static_cast<NameExpr&>(part));
  });
}

}  // namespace phalanx::jinja
