// Which variable a name means. Jinja decides that before it runs anything: each block that is a
// scope of its own (a loop's body, a macro, ...) lists the names that it stores or loads, and what
// each one is when the block is entered: the enclosing scope's variable of that name, the
// context's, or nothing. This is that analysis.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"

namespace phalanx::jinja {

// The variables of a function: the template, a macro, a recursive loop, a loop's test. Blocks that
// stand beside each other share their variables' places.
class FunctionScope {
 public:
  explicit FunctionScope(const FunctionScope* parent)
      : depth_(parent == nullptr ? 0 : parent->depth_ + 1) {}
  int depth() const { return depth_; }
  int variables() const { return static_cast<int>(indices_.size()); }
  int IndexOf(int level, const std::string& name);

 private:
  int depth_;
  std::map<std::pair<int, std::string>, int> indices_;
};

struct Variable {
  FunctionScope* function;
  int index;
};

class Symbols {
 public:
  Symbols(const Symbols* parent, FunctionScope* function)
      : parent_(parent), function_(function), level_(parent == nullptr ? 0 : parent->level_ + 1) {}

  FunctionScope* function() const { return function_; }

  void Store(const std::string& name);
  void Load(const std::string& name);
  void DeclareParameter(const std::string& name);

  // Names as the statements of one scope use them; what is inside nested scopes does not count.
  void Visit(Body& body);
  void Visit(Expr& expression);
  void VisitParameters(Function& function);  // its defaults and body, too
  void VisitTarget(Expr& target);            // as the scope's parameters

  std::optional<Variable> Find(const std::string& name) const;
  Scope Loads() const;

 private:
  struct Entry {
    ScopeLoad::Kind kind;
    std::string name;
    std::optional<Variable> source;
  };

  void Define(const std::string& name, Entry entry);
  void Visit(Statement& statement);
  void VisitIf(IfStatement& statement);
  void Merge(const std::vector<Symbols>& branches);

  const Symbols* parent_;
  FunctionScope* function_;
  int level_;
  std::map<std::string, int> variables_;
  std::map<int, Entry> loads_;
  std::set<std::string> stores_;
};

}  // namespace phalanx::jinja
