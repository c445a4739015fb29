// Walks over the syntax tree.
#pragma once

#include <functional>

#include "text/jinja/ast.h"

namespace phalanx::jinja {

// The direct parts of an expression that are there, in the order in which they are written down.
using ExprVisitor = std::function<void(Expr&)>;
void ForEachPart(Expr& node, const ExprVisitor& visit);

// Every name below, those in nested blocks too, in the order of Jinja's own tree.
using NameVisitor = std::function<void(NameExpr&)>;
void ForEachName(Expr& node, const NameVisitor& visit);
void ForEachName(Body& body, const NameVisitor& visit);
void ForEachName(Statement& statement, const NameVisitor& visit);

}  // namespace phalanx::jinja
