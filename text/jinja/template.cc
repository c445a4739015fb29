#include "text/jinja/template.h"

#include <utility>

#include "text/jinja/ast.h"
#include "text/jinja/checker.h"
#include "text/jinja/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"
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

}  // namespace

Template::Template(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

StatusOr<Template> Template::Parse(std::string_view source) {
  if (const auto at = FindInvalidUtf8(source)) {
    return InvalidArgumentError("chat_template: is no UTF-8 at byte {}", *at);
  }
  try {
    return Template(std::make_unique<const Program>(Check(Parser(source).Parse())));
  } catch (const TemplateError& error) {
    return StatusOf(error);
  }
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
