// The parser's expressions, the loosest binding first.
#include <algorithm>
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/parser.h"

namespace phalanx::jinja {
namespace {

// The comparison that an operator's token stands for.
std::optional<CompareOp> ComparisonOf(const Token& token) {
  static constexpr std::pair<std::string_view, CompareOp> kComparisons[] = {
      {"==", CompareOp::kEq}, {"!=", CompareOp::kNe}, {"<", CompareOp::kLt},
      {"<=", CompareOp::kLe}, {">", CompareOp::kGt},  {">=", CompareOp::kGe}};
  if (token.kind != TokenKind::kOperator) return std::nullopt;
  for (const auto& [symbol, op] : kComparisons) {
    if (token.text == symbol) return op;
  }
  return std::nullopt;
}

}  // namespace

ExprPtr Parser::BinaryOf(ExprKind kind, BinaryOp op, int line, ExprPtr left, ExprPtr right) {
  auto node = std::make_unique<BinaryExpr>(kind, line);
  node->op = op;
  Deepen(*node, {left.get(), right.get()});
  node->left = std::move(left);
  node->right = std::move(right);
  return node;
}

void Parser::CountNesting() {
  if (++nesting_ > kMaxNesting) FailLimit(Current().line, kMaxNesting);
}

ExprPtr Parser::ParseExpression(Conditions conditions) {
  CountNesting();
  ExprPtr node = conditions == Conditions::kAllow ? ParseConditional() : ParseOr();
  --nesting_;
  return node;
}

ExprPtr Parser::ParseConditional() {
  ExprPtr node = ParseOr();
  while (AtName("if")) {
    auto condition = std::make_unique<ConditionalExpr>(Next().line);
    condition->then = std::move(node);
    condition->test = ParseOr();
    if (SkipName("else")) condition->otherwise = ParseExpression();
    Deepen(*condition, {condition->test.get(), condition->then.get(), condition->otherwise.get()});
    node = std::move(condition);
  }
  return node;
}

ExprPtr Parser::ParseOr() {
  ExprPtr left = ParseAnd();
  while (AtName("or")) {
    const int line = Next().line;
    ExprPtr right = ParseAnd();
    left = BinaryOf(ExprKind::kOr, BinaryOp::kAdd, line, std::move(left), std::move(right));
  }
  return left;
}

ExprPtr Parser::ParseAnd() {
  ExprPtr left = ParseNot();
  while (AtName("and")) {
    const int line = Next().line;
    ExprPtr right = ParseNot();
    left = BinaryOf(ExprKind::kAnd, BinaryOp::kAdd, line, std::move(left), std::move(right));
  }
  return left;
}

ExprPtr Parser::ParseNot() {
  std::vector<int> lines;
  while (AtName("not")) lines.push_back(Next().line);
  ExprPtr node = ParseCompare();
  for (; !lines.empty(); lines.pop_back()) {
    auto negation = std::make_unique<UnaryExpr>(ExprKind::kNot, lines.back());
    Deepen(*negation, {node.get()});
    negation->operand = std::move(node);
    node = std::move(negation);
  }
  return node;
}

ExprPtr Parser::ParseCompare() {
  ExprPtr first = ParseSum();
  auto node = std::make_unique<CompareExpr>(Current().line);
  while (true) {
    std::optional<CompareOp> op = ComparisonOf(Current());
    if (!op && AtName("in")) op = CompareOp::kIn;
    if (!op && AtName("not") && IsName(Following(), "in")) {
      op = CompareOp::kNotIn;
      Next();
    }
    if (!op) break;
    Next();
    node->rest.emplace_back(*op, ParseSum());
    Deepen(*node, {node->rest.back().second.get()});
  }
  if (node->rest.empty()) return first;
  Deepen(*node, {first.get()});
  node->first = std::move(first);
  return node;
}

ExprPtr Parser::ParseSum() {
  ExprPtr left = ParseConcat();
  while (AtOp("+") || AtOp("-")) {
    const Token& token = Next();
    const BinaryOp op = token.text == "+" ? BinaryOp::kAdd : BinaryOp::kSub;
    const int line = token.line;
    ExprPtr right = ParseConcat();
    left = BinaryOf(ExprKind::kBinary, op, line, std::move(left), std::move(right));
  }
  return left;
}

ExprPtr Parser::ParseConcat() {
  ExprPtr first = ParseProduct();
  if (!AtOp("~")) return first;
  auto node = std::make_unique<ItemsExpr>(ExprKind::kConcat, Current().line);
  node->items.push_back(std::move(first));
  while (SkipOp("~")) node->items.push_back(ParseProduct());
  for (const ExprPtr& item : node->items) Deepen(*node, {item.get()});
  return node;
}

ExprPtr Parser::ParseProduct() {
  static constexpr std::pair<std::string_view, BinaryOp> kProducts[] = {{"*", BinaryOp::kMul},
                                                                        {"/", BinaryOp::kDiv},
                                                                        {"//", BinaryOp::kFloorDiv},
                                                                        {"%", BinaryOp::kMod}};
  ExprPtr left = ParsePower();
  while (true) {
    const auto* op = std::find_if(std::begin(kProducts), std::end(kProducts),
                                  [&](const auto& entry) { return AtOp(entry.first); });
    if (op == std::end(kProducts)) return left;
    const int line = Next().line;
    ExprPtr right = ParsePower();
    left = BinaryOf(ExprKind::kBinary, op->second, line, std::move(left), std::move(right));
  }
}

ExprPtr Parser::ParsePower() {
  ExprPtr left = ParseUnary();
  while (AtOp("**")) {
    const int line = Next().line;
    ExprPtr right = ParseUnary();
    left = BinaryOf(ExprKind::kBinary, BinaryOp::kPow, line, std::move(left), std::move(right));
  }
  return left;
}

ExprPtr Parser::ParseUnary(Filters filters) {
  CountNesting();
  ExprPtr node;
  if (AtOp("-") || AtOp("+")) {
    const Token& token = Next();
    auto sign = std::make_unique<UnaryExpr>(
        token.text == "-" ? ExprKind::kNegative : ExprKind::kPositive, token.line);
    sign->operand = ParseUnary(Filters::kRefuse);
    Deepen(*sign, {sign->operand.get()});
    node = std::move(sign);
  } else {
    node = ParsePrimary();
  }
  node = ParsePostfix(std::move(node));
  if (filters == Filters::kAllow) node = ParseFilters(std::move(node));
  --nesting_;
  return node;
}

ExprPtr Parser::ParseNameOrWord(Targets targets) {
  const Token& token = Next();
  if (token.text == "true" || token.text == "True") {
    return std::make_unique<ConstExpr>(token.line, Value::Bool(true));
  }
  if (token.text == "false" || token.text == "False") {
    return std::make_unique<ConstExpr>(token.line, Value::Bool(false));
  }
  if (token.text == "none" || token.text == "None") {
    return std::make_unique<ConstExpr>(token.line, Value::None());
  }
  if (targets == Targets::kNamesAndNamespaces && SkipOp(".")) {
    const Token& attribute = ExpectKind(TokenKind::kName, "name");
    return std::make_unique<NamespaceRefExpr>(token.line, token.text, attribute.text);
  }
  return std::make_unique<NameExpr>(token.line, token.text);
}

ExprPtr Parser::ParsePrimary(Targets targets) {
  const Token& token = Current();
  switch (token.kind) {
    case TokenKind::kName:
      return ParseNameOrWord(targets);
    case TokenKind::kString: {
      std::string text;
      while (At(TokenKind::kString)) text += Next().text;
      return std::make_unique<ConstExpr>(token.line, Value::String(std::move(text)));
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      Next();
      return std::make_unique<ConstExpr>(token.line, token.number);
    default:
      break;
  }
  if (SkipOp("(")) {
    ExprPtr node = ParseTuple(Conditions::kAllow, {}, Parentheses::kExplicit);
    ExpectOp(")");
    return node;
  }
  if (AtOp("[")) return ParseList();
  if (AtOp("{")) return ParseDict();
  Fail(token.line, fmt::format("unexpected '{}'", Describe(token)));
}

bool Parser::AtTupleEnd(Words ends) const {
  if (At(TokenKind::kVariableEnd) || At(TokenKind::kBlockEnd) || AtOp(")")) return true;
  return std::any_of(ends.begin(), ends.end(),
                     [this](std::string_view end) { return AtName(end); });
}

ExprPtr Parser::ParseTupleOf(Words ends, Parentheses parentheses,
                             const std::function<ExprPtr()>& parse_part) {
  const int line = Current().line;
  Exprs items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) ExpectOp(",");
    if (AtTupleEnd(ends)) break;
    items.push_back(parse_part());
    if (!AtOp(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) return std::move(items[0]);
    if (parentheses == Parentheses::kNone) {
      Fail(line, fmt::format("expected an expression, got '{}'", Describe(Current())));
    }
  }
  auto tuple = std::make_unique<ItemsExpr>(ExprKind::kTuple, line);
  for (const ExprPtr& item : items) Deepen(*tuple, {item.get()});
  tuple->items = std::move(items);
  return tuple;
}

ExprPtr Parser::ParseTuple(Conditions conditions, Words ends, Parentheses parentheses) {
  return ParseTupleOf(ends, parentheses, [&] { return ParseExpression(conditions); });
}

ExprPtr Parser::ParseList() {
  auto list = std::make_unique<ItemsExpr>(ExprKind::kList, Next().line);
  while (!AtOp("]")) {
    if (!list->items.empty()) {
      ExpectOp(",");
      if (AtOp("]")) break;
    }
    list->items.push_back(ParseExpression());
    Deepen(*list, {list->items.back().get()});
  }
  ExpectOp("]");
  return list;
}

ExprPtr Parser::ParseDict() {
  auto dict = std::make_unique<DictExpr>(Next().line);
  while (!AtOp("}")) {
    if (!dict->items.empty()) {
      ExpectOp(",");
      if (AtOp("}")) break;
    }
    ExprPtr key = ParseExpression();
    ExpectOp(":");
    ExprPtr value = ParseExpression();
    Deepen(*dict, {key.get(), value.get()});
    dict->items.emplace_back(std::move(key), std::move(value));
  }
  ExpectOp("}");
  return dict;
}

ExprPtr Parser::ParsePostfix(ExprPtr node) {
  while (true) {
    if (AtOp(".")) {
      node = ParseAttribute(std::move(node));
    } else if (AtOp("[")) {
      node = ParseSubscript(std::move(node));
    } else if (AtOp("(")) {
      node = ParseCall(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::ParseFilters(ExprPtr node) {
  while (true) {
    if (SkipOp("|")) {
      node = ParseFilter(std::move(node));
    } else if (AtName("is")) {
      node = ParseTest(std::move(node));
    } else if (AtOp("(")) {
      node = ParseCall(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::ParseAttribute(ExprPtr node) {
  const int line = Next().line;
  const Token& token = Next();
  if (token.kind == TokenKind::kName) {
    auto attribute = std::make_unique<AttributeExpr>(line, token.text);
    Deepen(*attribute, {node.get()});
    attribute->object = std::move(node);
    return attribute;
  }
  if (token.kind != TokenKind::kInteger) Fail(token.line, "expected name or number");
  auto item = std::make_unique<ItemExpr>(line);
  Deepen(*item, {node.get()});
  item->object = std::move(node);
  item->index = std::make_unique<ConstExpr>(token.line, token.number);
  return item;
}

ExprPtr Parser::ParseSubscript(ExprPtr node) {
  const int line = Next().line;
  auto slice = std::make_unique<SliceExpr>(line);
  bool is_slice = false;
  const auto at_part_end = [this] { return AtOp("]") || AtOp(",") || AtOp(":"); };
  Exprs indices;
  while (!AtOp("]")) {
    if (!indices.empty()) ExpectOp(",");
    if (is_slice) Fail(line, "a slice cannot be one of several subscripts");
    ExprPtr index = AtOp(":") ? nullptr : ParseExpression();
    if (SkipOp(":")) {
      is_slice = true;
      slice->start = std::move(index);
      if (!at_part_end()) slice->stop = ParseExpression();
      if (SkipOp(":") && !at_part_end()) slice->step = ParseExpression();
    }
    indices.push_back(std::move(index));
  }
  ExpectOp("]");
  if (is_slice) {
    if (indices.size() > 1) Fail(line, "a slice cannot be one of several subscripts");
    Deepen(*slice, {node.get(), slice->start.get(), slice->stop.get(), slice->step.get()});
    slice->object = std::move(node);
    return slice;
  }
  auto item = std::make_unique<ItemExpr>(line);
  if (indices.size() == 1) {
    item->index = std::move(indices[0]);
  } else {
    auto tuple = std::make_unique<ItemsExpr>(ExprKind::kTuple, line);
    for (const ExprPtr& index : indices) Deepen(*tuple, {index.get()});
    tuple->items = std::move(indices);
    item->index = std::move(tuple);
  }
  Deepen(*item, {node.get(), item->index.get()});
  item->object = std::move(node);
  return item;
}

}  // namespace phalanx::jinja
