// Tokens to a syntax tree, by recursive descent with Jinja's precedence.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace phalanx::jinja {

// Deeper nesting than this is refused.
inline constexpr int kMaxExpressionDepth = 300;
inline constexpr int kMaxNesting = 200;

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(Tokenize(source)) {}

  // The whole template. Throws kSyntax.
  Body Parse();

 private:
  using Words = std::initializer_list<std::string_view>;
  enum class Conditions { kAllow, kRefuse };  // x if y else z
  enum class Parentheses { kNone, kExplicit };
  enum class Targets { kNames, kNamesAndNamespaces };

  // Tokens.
  const Token& Current() const { return tokens_[at_]; }
  const Token& Following() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& Next();
  static bool IsName(const Token& token, std::string_view name);
  static bool IsOp(const Token& token, std::string_view op);
  bool AtName(std::string_view name) const { return IsName(Current(), name); }
  bool AtOp(std::string_view op) const { return IsOp(Current(), op); }
  bool At(TokenKind kind) const { return Current().kind == kind; }
  bool SkipName(std::string_view name);
  bool SkipOp(std::string_view op);
  void ExpectOp(std::string_view op);
  void ExpectName(std::string_view name);
  const Token& ExpectKind(TokenKind kind, std::string_view what);
  [[noreturn]] void FailExpected(std::string_view what) const;
  [[noreturn]] static void Fail(int line, std::string message);
  [[noreturn]] static void FailLimit(int line, int limit);
  void CountNesting();
  static void Deepen(Expr& parent, std::initializer_list<const Expr*> children);
  static void Deepen(Expr& parent, const ArgumentExprs& arguments);

  // Statements.
  Body ParseBody(Words ends);  // up to an end tag's name, which stays current; {}: to the end
  Body ParseStatements(Words ends);
  Body ParseStatementsAndDrop(std::string_view end);
  StatementPtr ParseStatement();
  StatementPtr ParseFor();
  StatementPtr ParseIf();
  StatementPtr ParseSet();
  StatementPtr ParseWith();
  StatementPtr ParseMacro();
  StatementPtr ParseCallBlock();
  StatementPtr ParseGeneration();
  StatementPtr ParseFilterBlock();
  StatementPtr ParsePrint();
  void ParseSignature(Function* function);
  std::unique_ptr<NameExpr> ParseNameTarget(NameUse use);
  ExprPtr ParseTarget(Words ends, Targets targets);

  // Expressions.
  ExprPtr ParseExpression(Conditions conditions = Conditions::kAllow);
  ExprPtr ParseConditional();
  ExprPtr ParseOr();
  ExprPtr ParseAnd();
  ExprPtr ParseNot();
  ExprPtr ParseCompare();
  ExprPtr ParseSum();
  ExprPtr ParseConcat();
  ExprPtr ParseProduct();
  ExprPtr ParsePower();
  enum class Filters { kAllow, kRefuse };
  ExprPtr ParseUnary(Filters filters = Filters::kAllow);
  ExprPtr ParsePrimary(Targets targets = Targets::kNames);
  ExprPtr ParseNameOrWord(Targets targets);
  ExprPtr ParseTuple(Conditions conditions = Conditions::kAllow, Words ends = {},
                     Parentheses parentheses = Parentheses::kNone);
  ExprPtr ParseTupleOf(Words ends, Parentheses parentheses,
                       const std::function<ExprPtr()>& parse_part);
  ExprPtr ParseList();
  ExprPtr ParseDict();
  ExprPtr ParsePostfix(ExprPtr node);
  ExprPtr ParseFilters(ExprPtr node);
  ExprPtr ParseAttribute(ExprPtr node);
  ExprPtr ParseSubscript(ExprPtr node);
  ExprPtr ParseCall(ExprPtr node);
  ArgumentExprs ParseArguments();
  ExprPtr ParseFilter(ExprPtr node);  // from its name on
  ExprPtr ParseFilterChain();         // | a | b, applied to a block's text; may be null
  ExprPtr ParseTest(ExprPtr node);
  std::string ParseDottedName();
  bool AtTupleEnd(Words ends) const;
  ExprPtr BinaryOf(ExprKind kind, BinaryOp op, int line, ExprPtr left, ExprPtr right);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  std::vector<std::string> tags_;  // those that are open
};

}  // namespace phalanx::jinja
