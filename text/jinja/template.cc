#include "text/jinja/template.h"

#include <utility>

#include "text/jinja/ast.h"
#include "text/jinja/checker.h"
#include "text/jinja/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"
#include "text/jinja/traversal.h"
#include "text/utf8.h"

namespace phalanx::jinja {
namespace {

std::string_view Describe(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kSyntax:
      return "syntax error";
    case ErrorKind::kUndefined:
      return "undefined";
    case ErrorKind::kType:
      return "type error";
    case ErrorKind::kValue:
      return "value error";
    case ErrorKind::kSecurity:
      return "refused by the sandbox";
    case ErrorKind::kRaised:
      return "raised by the template";
    case ErrorKind::kRuntime:
      return "error";
    case ErrorKind::kLimit:
      return "limit exceeded";
  }
  return "";
}

Status StatusOf(const TemplateError& error) {
  std::string message = "chat_template: ";
  if (error.line() > 0) message += fmt::format("line {}: ", error.line());
  message += fmt::format("{}: {}", Describe(error.kind()), error.message());
  const StatusCode code = error.kind() == ErrorKind::kLimit ? StatusCode::kResourceExhausted
                                                            : StatusCode::kInvalidArgument;
  return {code, std::move(message)};
}

bool IsAttribute(const Expr& node, std::string_view name) {
  if (node.kind == ExprKind::kGetAttribute) {
    return static_cast<const AttributeExpr&>(node).name.str() == name;
  }
  if (node.kind != ExprKind::kGetItem) return false;
  const Expr& index = *static_cast<const ItemExpr&>(node).index;
  if (index.kind != ExprKind::kConst) return false;
  const Value& key = static_cast<const ConstExpr&>(index).value;
  return key.IsString() && key.str() == name;
}

}  // namespace

Template::Template(std::unique_ptr<Program> program) : program_(std::move(program)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

StatusOr<Template> Template::Parse(std::string_view source) {
  if (const auto at = FindInvalidUtf8(source)) {
    return InvalidArgumentError("chat_template: is no UTF-8 at byte {}", *at);
  }
  try {
    return Template(std::make_unique<Program>(Check(Parser(source).Parse())));
  } catch (const TemplateError& error) {
    return StatusOf(error);
  }
}

bool Template::JoinsToText(std::string_view attribute) const {
  bool joins = false;
  ForEachExpr(program_->body, [&](Expr& node) {
    if (node.kind != ExprKind::kBinary) return;
    const auto& binary = static_cast<const BinaryExpr&>(node);
    if (binary.op != BinaryOp::kAdd) return;
    joins |= IsAttribute(*binary.left, attribute) || IsAttribute(*binary.right, attribute);
  });
  return joins;
}

StatusOr<std::string> Template::Render(const Dict& variables, const RenderOptions& options) const {
  try {
    const Dict globals = MakeGlobals(options.clock);
    Interpreter interpreter(*program_, variables, globals, options.limits);
    return interpreter.Run();
  } catch (const TemplateError& error) {
    return StatusOf(error);
  }
}

}  // namespace phalanx::jinja
