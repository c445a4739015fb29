// The parser's calls, filters and tests, which all take arguments.
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/parser.h"

namespace phalanx::jinja {

ArgumentExprs Parser::ParseArguments() {
  const int line = Current().line;
  ExpectOp("(");
  ArgumentExprs arguments;
  const auto ensure = [line](bool holds) {
    if (!holds) Fail(line, "invalid syntax for function call expression");
  };
  for (bool is_first = true; !AtOp(")"); is_first = false) {
    if (!is_first) {
      ExpectOp(",");
      if (AtOp(")")) break;
    }
    if (SkipOp("*")) {
      ensure(!arguments.more_positional && !arguments.more_keywords);
      arguments.more_positional = ParseExpression();
    } else if (SkipOp("**")) {
      ensure(!arguments.more_keywords);
      arguments.more_keywords = ParseExpression();
    } else if (At(TokenKind::kName) && IsOp(Following(), "=")) {
      ensure(!arguments.more_keywords);
      std::string name = Next().text;
      Next();
      for (const auto& [other, value] : arguments.keywords) ensure(other != name);
      arguments.keywords.emplace_back(std::move(name), ParseExpression());
    } else {
      ensure(!arguments.more_positional && !arguments.more_keywords && arguments.keywords.empty());
      arguments.positional.push_back(ParseExpression());
    }
  }
  ExpectOp(")");
  return arguments;
}

ExprPtr Parser::ParseCall(ExprPtr node) {
  auto call = std::make_unique<CallExpr>(Current().line);
  call->arguments = ParseArguments();
  Deepen(*call, {node.get()});
  Deepen(*call, call->arguments);
  call->callee = std::move(node);
  return call;
}

std::string Parser::ParseDottedName() {
  std::string name = ExpectKind(TokenKind::kName, "name").text;
  while (SkipOp(".")) name += "." + ExpectKind(TokenKind::kName, "name").text;
  return name;
}

ExprPtr Parser::ParseFilter(ExprPtr node) {
  const int line = Current().line;
  auto filter = std::make_unique<FilterExpr>(line, ParseDottedName());
  if (AtOp("(")) filter->arguments = ParseArguments();
  Deepen(*filter, {node.get()});
  Deepen(*filter, filter->arguments);
  filter->input = std::move(node);
  return filter;
}

ExprPtr Parser::ParseFilterChain() {
  ExprPtr node;
  while (SkipOp("|")) node = ParseFilter(std::move(node));
  return node;
}

ExprPtr Parser::ParseTest(ExprPtr node) {
  const int line = Next().line;
  const bool is_negated = SkipName("not");
  auto test = std::make_unique<TestExpr>(line, ParseDottedName());
  const bool takes_value = At(TokenKind::kName) || At(TokenKind::kString) ||
                           At(TokenKind::kInteger) || At(TokenKind::kFloat) || AtOp("[") ||
                           AtOp("{");
  if (AtOp("(")) {
    test->arguments = ParseArguments();
  } else if (takes_value && !AtName("else") && !AtName("or") && !AtName("and")) {
    if (AtName("is")) Fail(Current().line, "you cannot chain multiple tests with is");
    test->arguments.positional.push_back(ParsePostfix(ParsePrimary()));
  }
  Deepen(*test, {node.get()});
  Deepen(*test, test->arguments);
  test->input = std::move(node);
  if (!is_negated) return test;
  auto negation = std::make_unique<UnaryExpr>(ExprKind::kNot, line);
  Deepen(*negation, {test.get()});
  negation->operand = std::move(test);
  return negation;
}

}  // namespace phalanx::jinja
