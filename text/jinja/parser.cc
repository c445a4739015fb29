#include "text/jinja/parser.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "kernels/base/check.h"
#include "text/jinja/error.h"

namespace phalanx::jinja {
namespace {

bool IsIn(const std::string& name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Names and tuples of them; with `set ns.x`, attributes, too.
bool MakeStored(Expr& target, NameUse use) {
  switch (target.kind) {
    case ExprKind::kName:
      static_cast<NameExpr&>(target).use = use;
      return true;
    case ExprKind::kNamespaceRef:
      return true;
    case ExprKind::kTuple: {
      const Exprs& items = static_cast<ItemsExpr&>(target).items;
      return std::all_of(items.begin(), items.end(),
                         [&](const ExprPtr& item) { return MakeStored(*item, use); });
    }
    default:
      return false;
  }
}

}  // namespace

const Token& Parser::Next() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool Parser::IsName(const Token& token, std::string_view name) {
  return token.kind == TokenKind::kName && token.text == name;
}

bool Parser::IsOp(const Token& token, std::string_view op) {
  return token.kind == TokenKind::kOperator && token.text == op;
}

bool Parser::SkipName(std::string_view name) {
  if (!AtName(name)) return false;
  Next();
  return true;
}

bool Parser::SkipOp(std::string_view op) {
  if (!AtOp(op)) return false;
  Next();
  return true;
}

void Parser::ExpectOp(std::string_view op) {
  if (!SkipOp(op)) FailExpected(op);
}

void Parser::ExpectName(std::string_view name) {
  if (!SkipName(name)) FailExpected(name);
}

const Token& Parser::ExpectKind(TokenKind kind, std::string_view what) {
  if (!At(kind)) FailExpected(what);
  return Next();
}

void Parser::FailExpected(std::string_view what) const {
  Fail(Current().line, fmt::format("expected '{}', got '{}'", what, Describe(Current())));
}

void Parser::Fail(int line, std::string message) {
  TemplateError error(ErrorKind::kSyntax, std::move(message));
  error.SetLine(line);
  throw error;
}

void Parser::FailLimit(int line, int limit) {
  TemplateError error(ErrorKind::kLimit, fmt::format("nested deeper than {}", limit));
  error.SetLine(line);
  throw error;
}

Body Parser::Parse() { return ParseBody({}); }

Body Parser::ParseBody(Words ends) {
  CountNesting();
  Body body;
  OutputStatement* output = nullptr;
  const auto add = [&](int line, ExprPtr item) {
    if (output == nullptr) {
      auto statement = std::make_unique<OutputStatement>(line);
      output = statement.get();
      body.push_back(std::move(statement));
    }
    output->items.push_back(std::move(item));
  };
  while (!At(TokenKind::kEnd)) {
    const Token& token = Next();
    if (token.kind == TokenKind::kData) {
      add(token.line, std::make_unique<ConstExpr>(token.line, Value::String(token.text)));
    } else if (token.kind == TokenKind::kVariableBegin) {
      add(token.line, ParseTuple());
      ExpectKind(TokenKind::kVariableEnd, "end of print statement");
    } else {
      output = nullptr;
      const Token& tag = Current();
      if (tag.kind == TokenKind::kName && IsIn(tag.text, ends)) break;
      body.push_back(ParseStatement());
      ExpectKind(TokenKind::kBlockEnd, "end of statement block");
    }
  }
  if (At(TokenKind::kEnd) && ends.size() > 0) {
    Fail(Current().line,
         fmt::format("unexpected end of template: {{% {} %}} is not closed, expected {}",
                     tags_.back(), fmt::join(ends, " or ")));
  }
  --nesting_;
  return body;
}

Body Parser::ParseStatements(Words ends) {
  SkipOp(":");
  ExpectKind(TokenKind::kBlockEnd, "end of statement block");
  return ParseBody(ends);
}

Body Parser::ParseStatementsAndDrop(std::string_view end) {
  Body body = ParseStatements({end});
  Next();
  return body;
}

StatementPtr Parser::ParseStatement() {
  const Token token = Current();
  if (token.kind != TokenKind::kName) Fail(token.line, "tag name expected");
  using ParseFunction = StatementPtr (Parser::*)();
  static constexpr std::pair<std::string_view, ParseFunction> kTags[] = {
      {"for", &Parser::ParseFor},
      {"if", &Parser::ParseIf},
      {"set", &Parser::ParseSet},
      {"with", &Parser::ParseWith},
      {"macro", &Parser::ParseMacro},
      {"call", &Parser::ParseCallBlock},
      {"filter", &Parser::ParseFilterBlock},
      {"print", &Parser::ParsePrint},
      {"generation", &Parser::ParseGeneration}};
  for (const auto& [name, parse] : kTags) {
    if (token.text != name) continue;
    tags_.push_back(token.text);
    Next();
    StatementPtr statement = (this->*parse)();
    statement->line = token.line;
    tags_.pop_back();
    return statement;
  }
  if (token.text == "break" || token.text == "continue") {
    Next();
    return std::make_unique<Statement>(
        token.text == "break" ? StatementKind::kBreak : StatementKind::kContinue, token.line);
  }
  if (IsIn(token.text, {"block", "extends", "include", "import", "from", "autoescape"})) {
    Fail(token.line, fmt::format("the tag '{}' is not supported in chat templates", token.text));
  }
  Fail(token.line, fmt::format("encountered unknown tag '{}'{}", token.text,
                               tags_.empty() ? ""
                                             : fmt::format("; the innermost block that needs to be "
                                                           "closed is '{}'",
                                                           tags_.back())));
}

StatementPtr Parser::ParseFor() {
  auto statement = std::make_unique<ForStatement>(Current().line);
  const size_t target_begin = at_;
  statement->target = ParseTarget({"in"}, Targets::kNames);
  const size_t target_end = at_;
  ExpectName("in");
  statement->iterable = ParseTuple(Conditions::kRefuse, {"recursive"});
  if (SkipName("if")) {
    statement->test = ParseExpression();
    // The test has variables of its own, so the target is needed twice.
    const size_t behind = std::exchange(at_, target_begin);
    statement->test_target = ParseTarget({"in"}, Targets::kNames);
    PHALANX_CHECK(at_ == target_end);
    at_ = behind;
  }
  statement->is_recursive = SkipName("recursive");
  statement->body = ParseStatements({"endfor", "else"});
  if (Next().text == "else") {
    statement->otherwise = ParseStatementsAndDrop("endfor");
    statement->has_otherwise = !statement->otherwise.empty();
  }
  return statement;
}

StatementPtr Parser::ParseIf() {
  auto statement = std::make_unique<IfStatement>(Current().line);
  while (true) {
    ExprPtr test = ParseTuple(Conditions::kRefuse);
    Body body = ParseStatements({"elif", "else", "endif"});
    statement->branches.emplace_back(std::move(test), std::move(body));
    const std::string end = Next().text;
    if (end == "elif") continue;
    if (end == "else") statement->otherwise = ParseStatementsAndDrop("endif");
    return statement;
  }
}

StatementPtr Parser::ParseSet() {
  const int line = Current().line;
  ExprPtr target = ParseTarget({}, Targets::kNamesAndNamespaces);
  if (SkipOp("=")) {
    auto statement = std::make_unique<AssignStatement>(line);
    statement->target = std::move(target);
    statement->value = ParseTuple();
    return statement;
  }
  auto statement = std::make_unique<AssignBlockStatement>(line);
  statement->target = std::move(target);
  statement->filter = ParseFilterChain();
  statement->body = ParseStatementsAndDrop("endset");
  return statement;
}

StatementPtr Parser::ParseWith() {
  auto statement = std::make_unique<WithStatement>(Current().line);
  while (!At(TokenKind::kBlockEnd)) {
    if (!statement->variables.empty()) ExpectOp(",");
    ExprPtr target = ParseTarget({}, Targets::kNames);
    MakeStored(*target, NameUse::kParameter);
    ExpectOp("=");
    ExprPtr value = ParseExpression();
    statement->variables.emplace_back(std::move(target), std::move(value));
  }
  statement->body = ParseStatementsAndDrop("endwith");
  return statement;
}

void Parser::ParseSignature(Function* function) {
  ExpectOp("(");
  while (!AtOp(")")) {
    if (!function->parameters.empty()) ExpectOp(",");
    auto parameter = ParseNameTarget(NameUse::kParameter);
    if (SkipOp("=")) {
      function->defaults.push_back(ParseExpression());
    } else if (!function->defaults.empty()) {
      Fail(Current().line, "non-default argument follows default argument");
    }
    function->parameters.push_back(std::move(parameter));
  }
  ExpectOp(")");
}

StatementPtr Parser::ParseMacro() {
  auto statement = std::make_unique<MacroStatement>(Current().line);
  statement->target = ParseNameTarget(NameUse::kStore);
  statement->function.name = statement->target->name;
  ParseSignature(&statement->function);
  statement->function.body = ParseStatementsAndDrop("endmacro");
  return statement;
}

StatementPtr Parser::ParseCallBlock() {
  auto statement = std::make_unique<CallBlockStatement>(Current().line);
  if (AtOp("(")) ParseSignature(&statement->function);
  statement->call = ParseExpression();
  if (statement->call->kind != ExprKind::kCall) Fail(statement->line, "expected call");
  statement->function.body = ParseStatementsAndDrop("endcall");
  return statement;
}

StatementPtr Parser::ParseGeneration() {
  auto statement = std::make_unique<CallBlockStatement>(Current().line);
  statement->function.body = ParseStatementsAndDrop("endgeneration");
  return statement;
}

StatementPtr Parser::ParseFilterBlock() {
  auto statement = std::make_unique<FilterBlockStatement>(Current().line);
  statement->filter = ParseFilter(nullptr);
  while (SkipOp("|")) statement->filter = ParseFilter(std::move(statement->filter));
  statement->body = ParseStatementsAndDrop("endfilter");
  return statement;
}

StatementPtr Parser::ParsePrint() {
  auto statement = std::make_unique<OutputStatement>(Current().line);
  while (!At(TokenKind::kBlockEnd)) {
    if (!statement->items.empty()) ExpectOp(",");
    statement->items.push_back(ParseExpression());
  }
  return statement;
}

std::unique_ptr<NameExpr> Parser::ParseNameTarget(NameUse use) {
  const Token& token = ExpectKind(TokenKind::kName, "name");
  if (IsIn(token.text, {"true", "false", "none", "True", "False", "None"})) {
    Fail(token.line, fmt::format("can't assign to '{}'", token.text));
  }
  auto name = std::make_unique<NameExpr>(token.line, token.text);
  name->use = use;
  return name;
}

ExprPtr Parser::ParseTarget(Words ends, Targets targets) {
  const int line = Current().line;
  ExprPtr target = ParseTupleOf(ends, Parentheses::kNone, [&] { return ParsePrimary(targets); });
  if (!MakeStored(*target, NameUse::kStore)) Fail(line, "can't assign to this expression");
  return target;
}

void Parser::Deepen(Expr& parent, std::initializer_list<const Expr*> children) {
  for (const Expr* child : children) {
    if (child != nullptr) parent.depth = std::max(parent.depth, child->depth + 1);
  }
  if (parent.depth > kMaxExpressionDepth) FailLimit(parent.line, kMaxExpressionDepth);
}

void Parser::Deepen(Expr& parent, const ArgumentExprs& arguments) {
  for (const ExprPtr& argument : arguments.positional) Deepen(parent, {argument.get()});
  for (const auto& [name, value] : arguments.keywords) Deepen(parent, {value.get()});
  Deepen(parent, {arguments.more_positional.get(), arguments.more_keywords.get()});
}

}  // namespace phalanx::jinja
