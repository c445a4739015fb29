#include "text/jinja/symbols.h"

#include "text/jinja/traversal.h"

namespace phalanx::jinja {

int FunctionScope::IndexOf(int level, const std::string& name) {
  return indices_.try_emplace({level, name}, variables()).first->second;
}

std::optional<Variable> Symbols::Find(const std::string& name) const {
  for (const Symbols* scope = this; scope != nullptr; scope = scope->parent_) {
    const auto found = scope->variables_.find(name);
    if (found != scope->variables_.end()) return Variable{scope->function_, found->second};
  }
  return std::nullopt;
}

void Symbols::Define(const std::string& name, Entry entry) {
  const int index = function_->IndexOf(level_, name);
  variables_[name] = index;
  loads_[index] = std::move(entry);
}

void Symbols::Store(const std::string& name) {
  stores_.insert(name);
  if (variables_.contains(name)) return;
  const auto outer = parent_ == nullptr ? std::nullopt : parent_->Find(name);
  if (outer) {
    Define(name, {ScopeLoad::Kind::kAlias, "", outer});
  } else {
    Define(name, {ScopeLoad::Kind::kNothing, "", std::nullopt});
  }
}

void Symbols::Load(const std::string& name) {
  if (!Find(name)) Define(name, {ScopeLoad::Kind::kResolve, name, std::nullopt});
}

void Symbols::DeclareParameter(const std::string& name) {
  stores_.insert(name);
  Define(name, {ScopeLoad::Kind::kParameter, "", std::nullopt});
}

void Symbols::Visit(Expr& expression) {
  if (expression.kind == ExprKind::kNamespaceRef) {
    Load(static_cast<NamespaceRefExpr&>(expression).name);
  } else if (expression.kind == ExprKind::kName) {
    const auto& name = static_cast<NameExpr&>(expression);
    switch (name.use) {
      case NameUse::kLoad:
        Load(name.name);
        break;
      case NameUse::kStore:
        Store(name.name);
        break;
      case NameUse::kParameter:
        DeclareParameter(name.name);
        break;
    }
  } else {
    ForEachPart(expression, [this](Expr& part) { Visit(part); });
  }
}

void Symbols::VisitTarget(Expr& target) {
  ForEachName(target, [this](NameExpr& name) { DeclareParameter(name.name); });
}

void Symbols::VisitParameters(Function& function) {
  for (const auto& parameter : function.parameters) DeclareParameter(parameter->name);
  for (const ExprPtr& value : function.defaults) Visit(*value);
  Visit(function.body);
}

void Symbols::Visit(Body& body) {
  for (const StatementPtr& statement : body) Visit(*statement);
}

void Symbols::Visit(Statement& statement) {
  switch (statement.kind) {
    case StatementKind::kOutput:
      for (const ExprPtr& item : static_cast<OutputStatement&>(statement).items) Visit(*item);
      break;
    case StatementKind::kFor:
      Visit(*static_cast<ForStatement&>(statement).iterable);
      break;
    case StatementKind::kIf:
      VisitIf(static_cast<IfStatement&>(statement));
      break;
    case StatementKind::kMacro:
      Store(static_cast<MacroStatement&>(statement).function.name);
      break;
    case StatementKind::kCallBlock: {
      const auto& block = static_cast<CallBlockStatement&>(statement);
      if (block.call != nullptr) Visit(*block.call);
      break;
    }
    case StatementKind::kFilterBlock:
      Visit(*static_cast<FilterBlockStatement&>(statement).filter);
      break;
    case StatementKind::kWith:
      for (auto& [target, value] : static_cast<WithStatement&>(statement).variables) Visit(*value);
      break;
    case StatementKind::kAssign: {
      auto& assign = static_cast<AssignStatement&>(statement);
      Visit(*assign.value);
      Visit(*assign.target);
      break;
    }
    case StatementKind::kAssignBlock:
      Visit(*static_cast<AssignBlockStatement&>(statement).target);
      break;
    case StatementKind::kBreak:
    case StatementKind::kContinue:
      break;
  }
}

// The first branch is the `if`; an `elif` is an `if` that stands beside it.
void Symbols::VisitIf(IfStatement& statement) {
  Visit(*statement.branches[0].first);
  std::vector<Symbols> branches(3, *this);
  branches[0].Visit(statement.branches[0].second);
  for (size_t i = 1; i < statement.branches.size(); ++i) {
    branches[1].Visit(*statement.branches[i].first);
    std::vector<Symbols> inner(1, branches[1]);
    inner[0].Visit(statement.branches[i].second);
    branches[1].Merge(inner);
  }
  branches[2].Visit(statement.otherwise);
  Merge(branches);
}

// What only some branches store is, where they do not, what it was before.
void Symbols::Merge(const std::vector<Symbols>& branches) {
  std::set<std::string> stored;
  for (const Symbols& branch : branches) {
    for (const std::string& name : branch.stores_) {
      if (!stores_.contains(name)) stored.insert(name);
    }
  }
  for (const Symbols& branch : branches) {
    for (const auto& [name, index] : branch.variables_) variables_[name] = index;
    for (const auto& [index, entry] : branch.loads_) loads_[index] = entry;
    stores_.insert(branch.stores_.begin(), branch.stores_.end());
  }
  for (const std::string& name : stored) {
    const auto outer = parent_ == nullptr ? std::nullopt : parent_->Find(name);
    const int index = variables_.at(name);
    if (outer) {
      loads_[index] = {ScopeLoad::Kind::kAlias, "", outer};
    } else {
      loads_[index] = {ScopeLoad::Kind::kResolve, name, std::nullopt};
    }
  }
}

Scope Symbols::Loads() const {
  Scope scope;
  for (const auto& [index, entry] : loads_) {
    ScopeLoad load{entry.kind, {0, index}, entry.name, {}};
    if (entry.source) {
      load.source = {function_->depth() - entry.source->function->depth(), entry.source->index};
    }
    scope.push_back(std::move(load));
  }
  return scope;
}

}  // namespace phalanx::jinja
