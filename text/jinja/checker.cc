#include "text/jinja/checker.h"

#include <deque>
#include <initializer_list>
#include <set>
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/symbols.h"
#include "text/jinja/tests.h"
#include "text/jinja/traversal.h"

namespace phalanx::jinja {
namespace {

[[noreturn]] void Fail(int line, std::string message) {
  TemplateError error(ErrorKind::kSyntax, std::move(message));
  error.SetLine(line);
  throw error;
}

// Those of `names` that are loaded before they are stored.
std::set<std::string> LoadedIn(Body& body, std::initializer_list<std::string> names) {
  std::set<std::string> open(names);
  std::set<std::string> loaded;
  ForEachName(body, [&](NameExpr& name) {
    if (!open.contains(name.name)) return;
    if (name.use == NameUse::kLoad) {
      loaded.insert(name.name);
    } else {
      open.erase(name.name);
    }
  });
  return loaded;
}

// Whether Jinja computes it before the template runs.
bool IsConstant(Expr& node) {
  switch (node.kind) {
    case ExprKind::kName:
    case ExprKind::kNamespaceRef:
    case ExprKind::kCall:
      return false;
    case ExprKind::kFilter: {
      const auto& filter = static_cast<const FilterExpr&>(node);
      for (const FilterEntry& entry : SelectionFilters()) {
        if (entry.name == filter.name) return false;
      }
      if (filter.input == nullptr) return false;
      break;
    }
    default:
      break;
  }
  bool is_constant = true;
  ForEachPart(node, [&](Expr& part) { is_constant = is_constant && IsConstant(part); });
  return is_constant;
}

void MakeSlicesLenient(Expr& node) {
  ForEachExpr(node, [](Expr& part) {
    if (part.kind == ExprKind::kSlice) static_cast<SliceExpr&>(part).is_lenient = true;
  });
}

// Whether Jinja computes such an expression in advance also where it is not all of an output.
bool IsFolded(ExprKind kind) {
  return kind != ExprKind::kTuple && kind != ExprKind::kList && kind != ExprKind::kDict;
}

// Where statements stand.
struct Frame {
  const Symbols* symbols;
  bool is_conditional;  // unknown filters are found when they are reached
  bool is_in_loop;

  FunctionScope* function() const { return symbols->function(); }
  Frame Inner(const Symbols& inner) const { return {&inner, false, is_in_loop}; }
};

class Checker {
 public:
  Program Run(Body body) {
    Program program{std::move(body), {}, 0};
    FunctionScope& function = functions_.emplace_back(nullptr);
    Symbols symbols(nullptr, &function);
    symbols.Visit(program.body);
    program.scope = symbols.Loads();
    Visit(program.body, {&symbols, false, false});
    program.variables = function.variables();
    return program;
  }

 private:
  static Slot SlotOf(const std::string& name, int line, const Frame& frame) {
    const auto variable = frame.symbols->Find(name);
    // Jinja's own compiler does not find the names in the filter of a `set` block.
    if (!variable) Fail(line, fmt::format("the name '{}' cannot be used here", name));
    return {frame.function()->depth() - variable->function->depth(), variable->index};
  }

  void Visit(Body& body, const Frame& frame) {
    for (const StatementPtr& statement : body) Visit(*statement, frame);
  }

  void Visit(Expr& node, const Frame& frame) {
    switch (node.kind) {
      case ExprKind::kName: {
        auto& name = static_cast<NameExpr&>(node);
        name.slot = SlotOf(name.name, name.line, frame);
        return;
      }
      case ExprKind::kNamespaceRef: {
        auto& reference = static_cast<NamespaceRefExpr&>(node);
        reference.slot = SlotOf(reference.name, reference.line, frame);
        return;
      }
      case ExprKind::kFilter: {
        auto& filter = static_cast<FilterExpr&>(node);
        filter.filter = FindFilter(filter.name);
        if (filter.filter == nullptr && !frame.is_conditional) {
          Fail(node.line, fmt::format("no filter named '{}'", filter.name));
        }
        break;
      }
      case ExprKind::kTest: {
        auto& test = static_cast<TestExpr&>(node);
        test.test = FindTest(test.name);
        if (test.test == nullptr && !frame.is_conditional) {
          Fail(node.line, fmt::format("no test named '{}'", test.name));
        }
        break;
      }
      default:
        break;
    }
    Frame inner = frame;
    if (node.kind == ExprKind::kConditional) inner.is_conditional = true;
    ForEachPart(node, [&](Expr& part) {
      if (part.kind == ExprKind::kSlice && IsFolded(node.kind) && IsConstant(node)) {
        static_cast<SliceExpr&>(part).is_lenient = true;
      }
      Visit(part, inner);
    });
  }

  void Visit(Statement& node, const Frame& frame) {
    switch (node.kind) {
      case StatementKind::kOutput:
        for (const ExprPtr& item : static_cast<OutputStatement&>(node).items) {
          Visit(*item, frame);
          if (IsConstant(*item)) MakeSlicesLenient(*item);
        }
        break;
      case StatementKind::kFor:
        VisitFor(static_cast<ForStatement&>(node), frame);
        break;
      case StatementKind::kIf: {
        auto& branches = static_cast<IfStatement&>(node);
        Frame inner = frame;
        inner.is_conditional = true;
        for (auto& [test, body] : branches.branches) {
          Visit(*test, inner);
          Visit(body, inner);
        }
        Visit(branches.otherwise, inner);
        break;
      }
      case StatementKind::kMacro: {
        auto& macro = static_cast<MacroStatement&>(node);
        Visit(*macro.target, frame);
        VisitFunction(macro.function, node.line, frame);
        break;
      }
      case StatementKind::kCallBlock: {
        auto& block = static_cast<CallBlockStatement&>(node);
        VisitFunction(block.function, node.line, frame);
        if (block.call != nullptr) Visit(*block.call, frame);
        break;
      }
      case StatementKind::kFilterBlock: {
        auto& block = static_cast<FilterBlockStatement&>(node);
        Symbols symbols(frame.symbols, frame.function());
        symbols.Visit(block.body);
        symbols.Visit(*block.filter);
        block.scope = symbols.Loads();
        Visit(block.body, frame.Inner(symbols));
        Visit(*block.filter, frame.Inner(symbols));
        break;
      }
      case StatementKind::kWith: {
        auto& with = static_cast<WithStatement&>(node);
        Symbols symbols(frame.symbols, frame.function());
        for (auto& [target, value] : with.variables) symbols.Visit(*target);
        symbols.Visit(with.body);
        with.scope = symbols.Loads();
        for (auto& [target, value] : with.variables) {
          Visit(*target, frame.Inner(symbols));
          Visit(*value, frame);
        }
        Visit(with.body, frame.Inner(symbols));
        break;
      }
      case StatementKind::kAssign: {
        auto& assign = static_cast<AssignStatement&>(node);
        Visit(*assign.target, frame);
        Visit(*assign.value, frame);
        break;
      }
      case StatementKind::kAssignBlock: {
        auto& assign = static_cast<AssignBlockStatement&>(node);
        Symbols symbols(frame.symbols, frame.function());
        symbols.Visit(assign.body);
        assign.scope = symbols.Loads();
        Visit(assign.body, frame.Inner(symbols));
        Visit(*assign.target, frame);
        if (assign.filter != nullptr) Visit(*assign.filter, frame.Inner(symbols));
        break;
      }
      case StatementKind::kBreak:
      case StatementKind::kContinue:
        if (!frame.is_in_loop) {
          Fail(node.line, node.kind == StatementKind::kBreak ? "'break' outside a loop"
                                                             : "'continue' outside a loop");
        }
        break;
    }
  }

  void VisitFor(ForStatement& loop, const Frame& frame) {
    ForEachName<Statement>(loop, [](NameExpr& name) {
      if (name.use == NameUse::kStore && name.name == "loop") {
        Fail(name.line, "can't assign to special loop variable in a for loop");
      }
    });
    FunctionScope* function = frame.function();
    if (loop.is_recursive) function = &functions_.emplace_back(frame.function());
    Symbols symbols(frame.symbols, function);
    if (loop.is_recursive || !LoadedIn(loop.body, {"loop"}).empty()) {
      symbols.DeclareParameter("loop");
      loop.loop = Slot{0, symbols.Find("loop")->index};
    }
    symbols.VisitTarget(*loop.target);
    symbols.Visit(loop.body);
    loop.body_scope = symbols.Loads();
    Frame body_frame = frame.Inner(symbols);
    body_frame.is_in_loop = true;
    if (loop.test != nullptr) VisitLoopTest(loop, frame);
    Visit(*loop.iterable, frame);
    Visit(*loop.target, body_frame);
    Visit(loop.body, body_frame);

    Symbols otherwise(frame.symbols, function);
    otherwise.Visit(loop.otherwise);
    loop.otherwise_scope = otherwise.Loads();
    Frame otherwise_frame = frame.Inner(otherwise);
    if (loop.is_recursive) otherwise_frame.is_in_loop = false;
    Visit(loop.otherwise, otherwise_frame);
    if (loop.is_recursive) loop.recursive_variables = function->variables();
  }

  void VisitLoopTest(ForStatement& loop, const Frame& frame) {
    FunctionScope& function = functions_.emplace_back(frame.function());
    Symbols symbols(frame.symbols, &function);
    symbols.VisitTarget(*loop.target);
    symbols.Visit(*loop.test);
    loop.test_scope = symbols.Loads();
    Visit(*loop.test_target, frame.Inner(symbols));
    Visit(*loop.test, frame.Inner(symbols));
    loop.test_variables = function.variables();
  }

  void VisitFunction(Function& function, int line, const Frame& frame) {
    FunctionScope& scope = functions_.emplace_back(frame.function());
    Symbols symbols(frame.symbols, &scope);
    symbols.VisitParameters(function);
    std::set<std::string> names;
    bool has_caller = false;
    for (size_t i = 0; i < function.parameters.size(); ++i) {
      const std::string& name = function.parameters[i]->name;
      if (!names.insert(name).second) Fail(line, fmt::format("the parameter '{}' twice", name));
      if (name == "caller") has_caller = true;
    }
    const std::set<std::string> special = LoadedIn(function.body, {"caller", "kwargs", "varargs"});
    if (special.contains("caller") && has_caller) CheckCallerHasDefault(function, line);
    const auto declare = [&](const char* name, std::optional<Slot>* slot) {
      if (!special.contains(name) || names.contains(name)) return;
      symbols.DeclareParameter(name);
      *slot = Slot{0, symbols.Find(name)->index};
    };
    declare("caller", &function.caller);
    declare("kwargs", &function.keywords);
    declare("varargs", &function.positional);
    function.scope = symbols.Loads();
    const Frame inner{&symbols, false, false};
    for (const auto& parameter : function.parameters) Visit(*parameter, inner);
    for (const ExprPtr& value : function.defaults) Visit(*value, inner);
    Visit(function.body, inner);
    function.variables = scope.variables();
  }

  static void CheckCallerHasDefault(const Function& function, int line) {
    const size_t without = function.parameters.size() - function.defaults.size();
    for (size_t i = 0; i < without; ++i) {
      if (function.parameters[i]->name == "caller") {
        Fail(line, "the special 'caller' parameter must be omitted or be given a default");
      }
    }
  }

  std::deque<FunctionScope> functions_;
};

}  // namespace

Program Check(Body body) { return Checker().Run(std::move(body)); }

}  // namespace phalanx::jinja
